// The ring of stages in shared memory between the warps that copy operand tiles and those that multiply them: barriers,
// and whose turn it is.
#pragma once
#include "tensor/products/experts_tiles_cuda.hpp"

namespace switchyard::products::experts {

/// The place in the ring of stages.
template <int stages>
struct Ring {
  unsigned stage = 0, parity = 0;
  __device__ void advance(unsigned steps = 1) {
    stage += steps;
    parity ^= stage / stages & 1u;
    stage %= stages;
  }
};

/// Addresses in shared memory: the tiles, then the barriers.
template <class Shape>
struct Room {
  std::uint32_t tiles, barriers;
  __device__ explicit Room(const void* shared)
      : tiles((hopper::shared_address(shared) + 1023) / 1024 * 1024),
        barriers(tiles + Shape::stages * Shape::stage_bytes) {}
  /// By one thread, before a barrier of the block. `copiers` arrive when a stage is full.
  __device__ void init(unsigned copiers) const {
    for (unsigned s = 0; s < Shape::stages; ++s) {
      hopper::barrier_init(full(s), copiers);
      hopper::barrier_init(empty(s), Shape::cluster * (Shape::together ? 8 : 4));  // warps that multiply
    }
    for (unsigned group = 0; group < 2; ++group) hopper::barrier_init(turn(group), 4);
    hopper::barrier_init_done();
  }
  __device__ std::uint32_t a(unsigned stage) const { return tiles + stage * Shape::stage_bytes; }
  __device__ std::uint32_t b(unsigned stage) const { return a(stage) + Shape::a_bytes; }
  __device__ std::uint32_t full(unsigned stage) const { return barriers + 8 * stage; }
  __device__ std::uint32_t empty(unsigned stage) const { return barriers + 8 * (Shape::stages + stage); }
  __device__ std::uint32_t turn(unsigned group) const { return barriers + 8 * (2 * Shape::stages + group); }
};

/// Names a wait for whoever reads Problem::hang: kind (1 copies, 2 products, 3 turns), stage, step, block.
__device__ inline std::uint32_t place(unsigned kind, unsigned stage, int step) {
  return kind << 28 | stage << 24 | (static_cast<unsigned>(step) & 0xFFF) << 12 | (blockIdx.x & 0xFFF);
}

/// A warp has read a stage: told to all blocks that copy into it.
template <class Shape>
__device__ __forceinline__ void release(const Room<Shape>& room, unsigned stage) {
  const unsigned lane = threadIdx.x % 32;
  if constexpr (Shape::cluster == 1) {
    if (lane == 0) hopper::arrive(room.empty(stage));
  } else {
    if (lane < Shape::cluster) hopper::arrive_at(room.empty(stage), lane);
  }
}

/// Whose turn it is to multiply, where the two warpgroups do not work together. Needed for more than order: a barrier
/// tells only the parity of its phase, so who waits for a stage must know that the phase before has passed, and the
/// warpgroup whose turn it is not may be many phases ahead.
template <class Shape>
struct Turn {
  const Room<Shape>& room;
  unsigned group, parity;
  __device__ Turn(const Room<Shape>& room, unsigned group) : room(room), group(group), parity(1 - group) {}
  __device__ __forceinline__ void wait(std::uint32_t* hang) {
    if constexpr (Shape::together) return;
    hopper::wait(room.turn(group), parity, hang, place(3, group, 0));
    parity ^= 1;
  }
  __device__ __forceinline__ void pass() const {
    if constexpr (Shape::together) return;
    if (threadIdx.x % 32 == 0) hopper::arrive(room.turn(1 - group));
  }
};

}  // namespace switchyard::products::experts
