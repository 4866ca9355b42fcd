// The product of rows that lie one expert after another: one warpgroup copies operand tiles into a ring of stages, two
// multiply and hand their sums to an epilogue. Contract C1: a sum is one chain over the depth in ascending order in
// every Shape, so tiles, neighbours and loads cannot change a bit of a row.
#pragma once
#include "tensor/launch_cuda.hpp"
#include "tensor/products/experts_ring_cuda.hpp"

namespace switchyard::products::experts {

/// Matrices as the copy engine knows them. a: (rows, depth). b: (experts, columns, depth), or with rows across the
/// depth (experts, depth, columns). Further ones are further depth of a and b, or further columns of b: either part or
/// matrix is 0.
struct Maps {
  CUtensorMap a[max_matrices], b[max_matrices];
};

struct Problem {
  Loads loads;
  int experts, next;  // next: 1, or 0 where all experts have one matrix
  Across across;
  int parts;                  // pairs of operands whose products are added, one after another
  int steps[max_matrices];    // of depth_step, of each part
  int all_steps, depth;       // depth of the first part
  const std::int32_t* index;  // rows of `gathered` that the rows of a are, or null
  const __nv_bfloat16* gathered;
  std::uint32_t* hang;  // see hopper::wait
};

/// Rows [row, row + rows), of which a warpgroup finishes 64 at a time, from `column` of a tile's matrix on.
struct Part {
  int row, rows, column, matrix;
};

/// Where b's rows go, and whether its halves are two matrices.
enum class Weights { along, along_two, across };

/// A box of weights; a cluster copies it to both of its blocks.
template <class Shape>
__device__ __forceinline__ void copy_weights(std::uint32_t to, const CUtensorMap& map, std::uint32_t full, int x, int y,
                                             int expert) {
  if constexpr (Shape::cluster == 1)
    hopper::copy_box(to, &map, full, x, y, expert);
  else
    hopper::copy_box_to_both(to, &map, full, x, y, expert);
}

/// The boxes of b of one stage; of a cluster, this block's half of them. By one thread.
template <class Shape, Weights weights>
__device__ __forceinline__ void copy_b(const Maps& maps, const Room<Shape>& room, unsigned stage, const Tile& tile,
                                       int part, int depth, int expert) {
  constexpr int half = Shape::columns / 2, own = Shape::columns / Shape::cluster;
  const int rank = Shape::cluster == 1 ? 0 : static_cast<int>(hopper::cluster_rank());
  const std::uint32_t to = room.b(stage) + rank * own * line, full = room.full(stage);
  const int column = tile.column + rank * own;
  if constexpr (weights == Weights::along) {
    copy_weights<Shape>(to, maps.b[part + tile.matrix], full, depth, column, expert);
  } else if constexpr (weights == Weights::along_two) {
    copy_weights<Shape>(to, maps.b[rank], full, depth, tile.column / 2, expert);
    if constexpr (Shape::cluster == 1)
      copy_weights<Shape>(to + half * line, maps.b[1], full, depth, tile.column / 2, expert);
  } else {
#pragma unroll
    for (int c = 0; c < own; c += 64) copy_weights<Shape>(to + c * line, maps.b[part], full, column + c, depth, expert);
  }
}

/// Both operands by the copy engine. By one warp.
template <class Shape, Weights weights>
__device__ __forceinline__ void copy_tiles(const Maps& maps, const Problem& p, const Schedule& schedule,
                                           const Room<Shape>& room) {
  Ring<Shape::stages> ring;
  int expert = 0;
  for (int t = cluster_index<Shape>(); t < schedule.tiles(); t += clusters<Shape>()) {
    const Tile tile = find_tile<Shape>(schedule, t, expert);
    for (int part = 0; part < p.parts; ++part)
      for (int step = 0; step < p.steps[part]; ++step, ring.advance()) {
        hopper::wait(room.empty(ring.stage), ring.parity ^ 1, p.hang, place(1, ring.stage, step));
        if (threadIdx.x % 32 == 0) {
          hopper::arrive_expecting(room.full(ring.stage), Shape::stage_bytes);
          hopper::copy_box(room.a(ring.stage), &maps.a[part], room.full(ring.stage), step * depth_step, tile.row);
          copy_b<Shape, weights>(maps, room, ring.stage, tile, part, step * depth_step, tile.expert * p.next);
        }
        __syncwarp();
      }
  }
}

/// The rows of a gathered by their index, 16 bytes a thread; b by the copy engine. By the warpgroup: thread i copies
/// piece i mod 8 of rows i / 8, i / 8 + 16, …, and its arrival follows its copies by itself, so that only empty stages
/// are waited for.
/// Longer than 25 lines: the loop that the ring's state lives in.
template <class Shape, Weights weights>
__device__ __forceinline__ void gather_tiles(const Maps& maps, const Problem& p, const Schedule& schedule,
                                             const Room<Shape>& room) {
  constexpr int each = Shape::rows / 16;
  const int piece = threadIdx.x % 8, row = threadIdx.x / 8;
  const std::uint32_t own = row * line + ((piece ^ (row % 8)) << 4);
  Ring<Shape::stages> ring;
  int expert = 0;
  for (int t = cluster_index<Shape>(); t < schedule.tiles(); t += clusters<Shape>()) {
    const Tile tile = find_tile<Shape>(schedule, t, expert);
    const __nv_bfloat16* from[each];
#pragma unroll
    for (int i = 0; i < each; ++i) {
      const bool valid = row + 16 * i < tile.rows;
      from[i] = valid ? p.gathered + static_cast<std::int64_t>(p.index[tile.row + row + 16 * i]) * p.depth + piece * 8
                      : nullptr;
    }
    for (int step = 0; step < p.all_steps; ++step, ring.advance()) {
      hopper::wait(room.empty(ring.stage), ring.parity ^ 1, p.hang, place(1, ring.stage, step));
      if (threadIdx.x == 0) {
        hopper::arrive_expecting(room.full(ring.stage), Shape::b_bytes);
        copy_b<Shape, weights>(maps, room, ring.stage, tile, 0, step * depth_step, tile.expert * p.next);
      }
      __syncwarp();
      const bool inside = step * depth_step + piece * 8 < p.depth;
#pragma unroll
      for (int i = 0; i < each; ++i) {
        const bool valid = inside && from[i] != nullptr;
        hopper::copy_16(room.a(ring.stage) + own + i * 16 * line, valid ? from[i] + step * depth_step : p.gathered,
                        valid ? 16 : 0);
      }
      hopper::arrive_after_copies(room.full(ring.stage));
    }
  }
}

/// sums = a tile of a · bᵀ, over the whole depth; leaves `ring` behind it. By a warpgroup, `half` its block of rows.
/// Longer than 25 lines: products in flight may not leave the loop that issues them.
template <class Shape, Weights weights>
__device__ __forceinline__ void multiply_tile(float (&sums)[Shape::height][Shape::columns / 2], const Problem& p,
                                              const Room<Shape>& room, Ring<Shape::stages>& ring, int half,
                                              Turn<Shape>& turn) {
  constexpr bool across = weights == Weights::across;
  constexpr std::uint32_t b_step = across ? 16 * line : 32;  // bytes to the next 16 of the depth
  const int steps = p.all_steps;
  unsigned before = 0;
#pragma unroll
  for (int m = 0; m < Shape::height; ++m) hopper::hold(sums[m]);
  turn.wait(p.hang);
  for (int step = 0; step < steps; ++step, ring.advance()) {
    hopper::wait(room.full(ring.stage), ring.parity, p.hang, place(2, ring.stage, step));
    if (p.index) hopper::fence_proxy();  // what threads copied
    const std::uint64_t a = hopper::descriptor(room.a(ring.stage) + half * 64 * line, 16, 1024);
    const std::uint64_t b = hopper::descriptor(room.b(ring.stage), across ? 64 * line : 16, 1024);
    hopper::products_begin();
#pragma unroll
    for (int k = 0; k < depth_step / 16; ++k)
#pragma unroll
      for (int m = 0; m < Shape::height; ++m)
        hopper::multiply<0, across>(sums[m], a + (m * 64 * line + k * 32) / 16, b + k * b_step / 16, step + k);
    hopper::products_commit();
    hopper::products_wait<1>();  // those of the step before
    if (step > 0) release(room, before);
    before = ring.stage;
  }
  turn.pass();
  hopper::products_wait<0>();
#pragma unroll
  for (int m = 0; m < Shape::height; ++m) hopper::hold(sums[m]);
  release(room, before);
}

/// The tiles of a warpgroup, `group` 0 or 1.
template <class Shape, Weights weights, class Epilogue>
__device__ __forceinline__ void multiply_tiles(const Problem& p, const Schedule& schedule, const Room<Shape>& room,
                                               const Epilogue& epilogue, int group) {
  constexpr int turns = Shape::together ? 1 : 2;
  const unsigned steps = p.all_steps;
  const int half = Shape::together ? group : 0;
  const int stride = turns * clusters<Shape>();
  Ring<Shape::stages> ring;
  Turn<Shape> turn(room, group);
  if (turns == 2 && group == 1) ring.advance(steps);
  int expert = 0;
  for (int t = cluster_index<Shape>() + (turns - 1) * group * clusters<Shape>(); t < schedule.tiles(); t += stride) {
    const Tile tile = find_tile<Shape>(schedule, t, expert);
    Part part{tile.row + half * 64, tile.rows - half * 64, tile.column, tile.matrix};
    epilogue.template prepare<Shape::height, Shape::columns>(part);
    float sums[Shape::height][Shape::columns / 2];
    multiply_tile<Shape, weights>(sums, p, room, ring, half, turn);
    if (turns == 2) ring.advance(steps);
#pragma unroll
    for (int m = 0; m < Shape::height; ++m, part.row += 64, part.rows -= 64) epilogue.finish(sums[m], part);
  }
}

/// Persistent: any number of blocks of `threads`, Shape::shared_bytes each.
template <class Shape, Weights weights, class Epilogue>
__global__ void __cluster_dims__(Shape::cluster, 1, 1) __launch_bounds__(threads, 1)
    product(const __grid_constant__ Maps maps, const __grid_constant__ Problem p,
            const __grid_constant__ Epilogue epilogue) {
  extern __shared__ unsigned char shared[];
  const Room<Shape> room(shared);
  const std::uint32_t offset = room.barriers + Shape::barrier_bytes - hopper::shared_address(shared);
  int* tables = reinterpret_cast<int*>(shared + offset);
  const Schedule schedule{tables, tables + max_experts + 1, tables + 2 * max_experts + 1, p.experts, p.across};
  const bool gathers = p.index != nullptr;
  if (threadIdx.x == 0) {
    room.init(gathers ? 1 + 128 : 1);  // the copy engine's thread, threads that gather
    hopper::prefetch_map(&maps.a[0]);
    hopper::prefetch_map(&maps.b[0]);
  }
  gpu::await_before();
  gpu::let_next_come();
  make_schedule(schedule, p.loads, Shape::rows * Shape::cluster);
  if constexpr (Shape::cluster > 1) hopper::cluster_sync();  // barriers of the other block are set up
  if (threadIdx.x < 128) {
    hopper::give_registers<56>();
    if (gathers)
      gather_tiles<Shape, weights>(maps, p, schedule, room);
    else if (threadIdx.x < 32)
      copy_tiles<Shape, weights>(maps, p, schedule, room);
  } else {
    hopper::take_registers<224>();
    multiply_tiles<Shape, weights>(p, schedule, room, epilogue, threadIdx.x / 128 - 1);
  }
  __syncwarp();
  if constexpr (Shape::cluster > 1)
    hopper::cluster_sync();  // its barriers, which the other block tells, stay until then
}

}  // namespace switchyard::products::experts
