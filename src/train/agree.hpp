// Errors that one rank finds and all ranks must raise alike, before anything waits for anything.
#pragma once
#include <functional>

#include "base/check.hpp"
#include "comm/collectives.hpp"

namespace switchyard::train {

/// Runs `work` on every rank (collective). If any rank throws an Error, all ranks throw an AgreedError with the message
/// of the lowest such rank.
inline void agree(const comm::Communicator& world, const std::function<void()>& work) {
  std::int64_t failed = 0;  // ranks − rank, so that the largest is the lowest failing rank
  std::string message;
  std::int64_t code = 0;
  try {
    work();
  } catch (const Error& e) {
    failed = world.size() - world.rank();
    message = e.what();
    code = static_cast<std::int64_t>(e.code());
  }
  std::int64_t worst = failed;
  comm::all_reduce_max(world, &worst, 1);
  if (worst == 0) return;
  const int root = world.size() - static_cast<int>(worst);
  comm::broadcast(world, &code, sizeof code, root);
  std::int64_t size = static_cast<std::int64_t>(message.size());
  comm::broadcast(world, &size, sizeof size, root);
  message.resize(size);
  comm::broadcast(world, message.data(), size, root);
  throw AgreedError(static_cast<Exit>(code), message);
}

/// `agree` for work that only rank 0 does.
inline void on_root(const comm::Communicator& world, const std::function<void()>& work) {
  agree(world, [&] {
    if (world.rank() == 0) work();
  });
}

}  // namespace switchyard::train
