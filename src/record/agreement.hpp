// Work that may fail on one rank, with the same outcome on all.
#pragma once
#include <string>

#include "base/check.hpp"
#include "comm/collectives.hpp"

namespace switchyard::record {

/// Runs `work`, which must not communicate, or must do its part of the communication even where it fails. If it threw
/// on any rank, every rank throws the error of the lowest such rank as an
/// AgreedError. Collective.
template <class Work>
void collectively(const comm::Communicator& world, Work work) {
  std::string mine;  // "code message"
  try {
    work();
  } catch (const Error& error) {
    mine = std::to_string(static_cast<int>(error.code())) + " " + error.what();
  } catch (const std::exception& error) {
    mine = std::to_string(static_cast<int>(Exit::internal)) + " " + error.what();
  }
  for (const std::string& outcome : comm::all_gather(world, mine)) {
    if (outcome.empty()) continue;
    const std::size_t space = outcome.find(' ');
    throw AgreedError(static_cast<Exit>(std::stoi(outcome.substr(0, space))), outcome.substr(space + 1));
  }
}

}  // namespace switchyard::record
