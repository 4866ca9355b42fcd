// What ranks of a node tell each other of messages between them: where a message lies, and that it was taken. Each rank
// writes into memory of its own only, which the others read (base/shared_memory.hpp).
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "base/shared_memory.hpp"

namespace switchyard::comm {

/// Messages of a pair in one direction that may be under way at once; more wait for the earliest of them.
inline constexpr std::int64_t slots = 64;

/// One message. `number` is written last and read first; all zeros is none.
struct alignas(64) Slot {
  std::atomic<std::int64_t> number;  ///< of the messages of the pair, from 1
  std::int64_t bytes;
  shared_memory::Place place;  ///< a file of −1: the message comes by MPI
  std::int32_t tag;
};
static_assert(sizeof(Slot) == 64);

/// What a rank writes for another one. The number in `taken` is that of the last message which it has taken of the
/// slot with which that one sent it.
struct alignas(64) Desk {
  std::array<Slot, slots> sent;
  std::array<std::atomic<std::int64_t>, slots> taken;
};
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

}  // namespace switchyard::comm
