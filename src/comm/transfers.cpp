#include "comm/transfers.hpp"

#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>

#include "base/check.hpp"
#include "base/ledger.hpp"

namespace switchyard::comm {
namespace {

std::vector<std::unique_ptr<Transport>> only(std::unique_ptr<Transport> transport) {
  std::vector<std::unique_ptr<Transport>> all;
  all.push_back(std::move(transport));
  return all;
}

}  // namespace

Transports::Transports(const Communicator& group, std::vector<std::unique_ptr<Transport>> made,
                       std::vector<int> index_of)
    : group_(group), made_(std::move(made)), index_of_(std::move(index_of)) {
  expect(!made_.empty() && static_cast<int>(index_of_.size()) == group.size(), "a transport for every rank");
  for (const int i : index_of_) expect(i >= 0 && i < static_cast<int>(made_.size()), "a transport that was made");
  for (const auto& transport : made_) expect(transport->memory() == memory(), "transports that work in one memory");
}

Transports::Transports(const Communicator& group, TransportKind kind)
    : Transports(group, only(make_transport(kind, group)), std::vector<int>(group.size(), 0)) {}

Transports make_transports(const Communicator& group) { return {group, TransportKind::mpi}; }

void end_run(const Communicator& group, const std::string& why) {
  std::fprintf(stderr, "switchyard: %s\n", why.c_str());
  activity::leave();
  MPI_Abort(group.handle(), static_cast<int>(Exit::internal));
}

Transfers::Transfers(Transports& transports, std::int64_t row_bytes)
    : transports_(transports), row_bytes_(row_bytes), exceptions_(std::uncaught_exceptions()) {
  for (const auto& transport : transports.made()) requests_.push_back(transport->begin(row_bytes));
}

Transfers::~Transfers() {
  if (!under_way_) return;
  const std::size_t left = under_way_;
  std::string why = "an error ended a rank";
  try {
    if (std::uncaught_exceptions() == exceptions_) {
      wait();
      return;
    }
  } catch (const Error& error) {
    why = error.what();
  }
  end_run(transports_.group(), why + " while " + std::to_string(left) + " of its transfers were under way");
}

void Transfers::receive(void* buffer, std::int64_t rows, int from, int tag) {
  requests_[transports_.index_of(from)]->receive(buffer, rows, from, tag);
  ++under_way_;
}

void Transfers::send(const void* buffer, std::int64_t rows, int to, int tag) {
  requests_[transports_.index_of(to)]->send(buffer, rows, to, tag);
  ledger::sent(transports_.group().world_rank(to), rows * row_bytes_);
  ++under_way_;
}

bool Transfers::poll() {
  bool complete = true;
  for (const auto& of : requests_) complete = of->poll() && complete;
  if (complete) under_way_ = 0;
  return complete;
}

// Polled in turn: a peer may need the progress of one transport to come to the other, and the watchdog may ask.
void Transfers::wait() {
  activity::Waiting waiting(transports_.group().members(), activity::Wait::messages);
  if (requests_.size() == 1) under_way_ = 0;  // also where an error ends the wait
  while (!poll())
    if (waiting.asked()) waiting.answer(incomplete());
}

/// Ranks of the world, each once.
std::vector<int> Transfers::incomplete() const {
  std::vector<int> ranks;
  for (const auto& of : requests_) of->add_incomplete(ranks);
  for (int& rank : ranks) rank = transports_.group().world_rank(rank);
  std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  return ranks;
}

}  // namespace switchyard::comm
