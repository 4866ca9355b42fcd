// Errors that one rank finds and all ranks must raise alike, before anything waits for anything.
#pragma once
#include <functional>

#include "base/check.hpp"
#include "base/failure.hpp"
#include "comm/collectives.hpp"

namespace switchyard::comm {

/// Runs `work` on every rank (collective); it must not communicate, or must do its part of the communication even where
/// it fails. If any rank throws, all ranks throw an AgreedError with the message of the lowest such rank.
inline void agree(const Communicator& world, const std::function<void()>& work) {
  std::int64_t failed = 0;  // ranks − rank, so that the largest is the lowest failing rank
  std::string message;
  std::int64_t code = 0;
  try {
    work();
  } catch (const std::exception& e) {
    const Error error = as_error(e);
    failed = world.size() - world.rank(), message = error.what(), code = static_cast<std::int64_t>(error.code());
  }
  std::int64_t worst = failed;
  all_reduce_max(world, &worst, 1);
  if (worst == 0) return;
  const int root = world.size() - static_cast<int>(worst);
  broadcast(world, &code, sizeof code, root);
  throw AgreedError(static_cast<Exit>(code), broadcast(world, message, root));
}

/// `agree` for work that only rank 0 does.
inline void on_root(const Communicator& world, const std::function<void()>& work) {
  agree(world, [&] {
    if (world.rank() == 0) work();
  });
}

}  // namespace switchyard::comm
