// Weight gradients of experts: the depth is the rows of a segment, so both operands have their rows across it, and rows
// that are gathered are gathered along the depth. The last step of a segment, if it is not whole, is copied by threads,
// with zeros for the rows that belong to others.
#include "base/check.hpp"
#include "tensor/check_cuda.hpp"
#include "tensor/products/experts_launch_cuda.hpp"

namespace switchyard::products::experts {

namespace {

constexpr int block_bytes = 64 * line;        // 64 columns of depth_step rows in shared memory
constexpr int each_thread = depth_step / 16;  // rows of a step that a thread copies pieces of

/// The kernel's parameters: `down` and `across` tiles of a segment's matrix.
struct GradientProblem {
  CUtensorMap a_map, b_map;
  Loads loads;
  std::int64_t tiles;
  WeightGradient p;
  int down, across;
  std::uint32_t* hang;
};

/// A tile: columns of a and b where it begins; its segment, that one's first row, rows and steps.
struct GradientTile {
  int segment, a_column, b_column, first, rows, steps;
};

template <class Shape>
__device__ __forceinline__ GradientTile gradient_tile(const GradientProblem& g, std::int64_t t) {
  const int each = g.down * g.across, segment = static_cast<int>(t / each), local = static_cast<int>(t % each);
  const int first = g.loads.begin(segment), rows = g.loads.end(segment) - first;
  return {segment, local % g.down * Shape::rows,        local / g.down * Shape::columns, first,
          rows,    (rows + depth_step - 1) / depth_step};
}

/// Rows of a and b that a thread copies pieces of.
struct Sources {
  int a[each_thread], b[each_thread];
};

/// Rows of `from` that this thread copies pieces of, of the `rows` from `row` on; −1: a row of zeros.
__device__ __forceinline__ void find_sources(int (&sources)[each_thread], const Rows& from, int row, int rows) {
#pragma unroll
  for (int i = 0; i < each_thread; ++i) {
    const int own = static_cast<int>(threadIdx.x) / 8 + 16 * i;
    sources[i] = own >= rows ? -1 : from.index ? from.index[row + own] : row + own;
  }
}

/// 16-byte pieces of the rows that this thread copies, of `blocks` blocks of 64 columns.
template <int blocks>
__device__ __forceinline__ void copy_rows(std::uint32_t to, const Rows& from, const int (&sources)[each_thread],
                                          int column) {
  const int piece = threadIdx.x % 8, row = threadIdx.x / 8;
  to += row * line + ((piece ^ (row % 8)) << 4);
  column += piece * 8;
#pragma unroll
  for (int i = 0; i < each_thread; ++i) {
    const __nv_bfloat16* source = from.data + static_cast<std::int64_t>(sources[i]) * from.width + column;
#pragma unroll
    for (int c = 0; c < blocks; ++c) {
      const bool valid = sources[i] >= 0 && column + 64 * c < from.width;
      hopper::copy_16(to + c * block_bytes + i * 16 * line, valid ? source + 64 * c : from.data, valid ? 16 : 0);
    }
  }
}

/// Blocks of 64 columns by the copy engine. By one thread.
template <int blocks>
__device__ __forceinline__ void copy_boxes(std::uint32_t to, const CUtensorMap& map, std::uint32_t full, int column,
                                           int row) {
#pragma unroll
  for (int c = 0; c < blocks; ++c) hopper::copy_box(to + c * block_bytes, &map, full, column + 64 * c, row);
}

/// One step: by the copy engine what is whole and not gathered, by threads the rest.
template <class Shape>
__device__ __forceinline__ void copy_step(const GradientProblem& g, const Room<Shape>& room, unsigned stage,
                                          const GradientTile& tile, int step, const Sources& sources) {
  constexpr int a_blocks = Shape::rows / 64, b_blocks = Shape::columns / 64;
  const int row = step * depth_step;
  const bool whole = tile.rows - row >= depth_step, a_boxes = whole && !g.p.a.index, b_boxes = whole && !g.p.b.index;
  if (threadIdx.x == 0) {
    const std::uint32_t full = room.full(stage);
    hopper::arrive_expecting(full, (a_boxes ? Shape::a_bytes : 0) + (b_boxes ? Shape::b_bytes : 0));
    if (a_boxes) copy_boxes<a_blocks>(room.a(stage), g.a_map, full, tile.a_column, tile.first + row);
    if (b_boxes) copy_boxes<b_blocks>(room.b(stage), g.b_map, full, tile.b_column, tile.first + row);
  }
  __syncwarp();
  if (!a_boxes) copy_rows<a_blocks>(room.a(stage), g.p.a, sources.a, tile.a_column);
  if (!b_boxes) copy_rows<b_blocks>(room.b(stage), g.p.b, sources.b, tile.b_column);
  hopper::arrive_after_copies(room.full(stage));
}

/// All steps of all tiles of a block. By a warpgroup; indices are read one step ahead.
template <class Shape>
__device__ __forceinline__ void copy_gradients(const GradientProblem& g, const Room<Shape>& room) {
  Ring<Shape::stages> ring;
  for (std::int64_t t = blockIdx.x; t < g.tiles; t += gridDim.x) {
    const GradientTile tile = gradient_tile<Shape>(g, t);
    Sources next;
    find_sources(next.a, g.p.a, tile.first, tile.rows);
    find_sources(next.b, g.p.b, tile.first, tile.rows);
    for (int step = 0; step < tile.steps; ++step, ring.advance()) {
      const Sources now = next;
      const int row = (step + 1) * depth_step;
      find_sources(next.a, g.p.a, tile.first + row, tile.rows - row);
      find_sources(next.b, g.p.b, tile.first + row, tile.rows - row);
      hopper::wait(room.empty(ring.stage), ring.parity ^ 1, g.hang, place(1, ring.stage, step));
      copy_step(g, room, ring.stage, tile, step, now);
    }
  }
}

/// sums = the tile's; zeros where the segment has no rows. As multiply_tile(), both operands across the depth.
template <class Shape>
__device__ __forceinline__ void multiply_gradient(float (&sums)[Shape::height][Shape::columns / 2],
                                                  const GradientProblem& g, Turn<Shape>& turn,
                                                  Ring<Shape::stages>& ring, int steps, int half) {
  const Room<Shape>& room = turn.room;
  constexpr int next_16 = 16 * line / 16;  // of the depth, in the units of descriptors
  unsigned before = 0;
#pragma unroll
  for (int m = 0; m < Shape::height; ++m) {
#pragma unroll
    for (int i = 0; i < Shape::columns / 2; ++i) sums[m][i] = 0.0f;
    hopper::hold(sums[m]);
  }
  turn.wait(g.hang);
  for (int step = 0; step < steps; ++step, ring.advance()) {
    hopper::wait(room.full(ring.stage), ring.parity, g.hang, place(2, ring.stage, step));
    hopper::fence_proxy();  // what threads copied
    const std::uint64_t a = hopper::descriptor(room.a(ring.stage) + half * block_bytes, block_bytes, 1024);
    const std::uint64_t b = hopper::descriptor(room.b(ring.stage), block_bytes, 1024);
    hopper::products_begin();
#pragma unroll
    for (int k = 0; k < depth_step / 16; ++k)
#pragma unroll
      for (int m = 0; m < Shape::height; ++m)
        hopper::multiply<1, 1>(sums[m], a + m * block_bytes / 16 + k * next_16, b + k * next_16, step + k);
    hopper::products_commit();
    hopper::products_wait<1>();  // those of the step before
    if (step > 0) release(room, before);
    before = ring.stage;
  }
  turn.pass();
  hopper::products_wait<0>();
#pragma unroll
  for (int m = 0; m < Shape::height; ++m) hopper::hold(sums[m]);
  if (steps > 0) release(room, before);
}

/// A warpgroup's 64 rows of floats from (row, column) of `to` (rows, columns) on. Threads 2i and 2i + 1 of a row
/// exchange pairs, so that each writes 16 bytes and the four of a row 64.
template <int n>
__device__ __forceinline__ void write_sums(const float (&sums)[n], float* to, int row, int rows, int column,
                                           int columns) {
  const int lane = threadIdx.x % 32;
  const bool odd = lane & 1;
  row += threadIdx.x / 32 % 4 * 16 + lane / 4;
  column += (odd ? 8 : 0) + lane % 4 / 2 * 4;
#pragma unroll
  for (int pair = 0; pair < n / 8; ++pair)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float* left = sums + 8 * pair + 2 * half;
      const float* right = left + 4;
      const float x = __shfl_xor_sync(~0u, odd ? left[0] : right[0], 1);
      const float y = __shfl_xor_sync(~0u, odd ? left[1] : right[1], 1);
      const float4 four = odd ? float4{x, y, right[0], right[1]} : float4{left[0], left[1], x, y};
      const int r = row + 8 * half, c = column + 16 * pair;
      if (r < rows && c < columns) *reinterpret_cast<float4*>(to + static_cast<std::int64_t>(r) * columns + c) = four;
    }
}

/// The tiles of a warpgroup, `group` 0 or 1. It walks past the other's too: their steps move the ring.
template <class Shape>
__device__ __forceinline__ void multiply_gradients(const GradientProblem& g, const Room<Shape>& room, int group) {
  const int half = Shape::together ? group : 0;
  Ring<Shape::stages> ring;
  Turn<Shape> turn(room, group);
  int whose = 0;
  for (std::int64_t t = blockIdx.x; t < g.tiles; t += gridDim.x, whose ^= 1) {
    const GradientTile tile = gradient_tile<Shape>(g, t);
    if (!Shape::together && whose != group) {
      ring.advance(tile.steps);
      continue;
    }
    float sums[Shape::height][Shape::columns / 2];
    multiply_gradient<Shape>(sums, g, turn, ring, tile.steps, half);
    float* const to = g.p.dw + tile.segment / g.p.grains * g.p.next + tile.segment % g.p.grains * g.p.node;
#pragma unroll
    for (int m = 0; m < Shape::height; ++m)
      write_sums(sums[m], to, tile.a_column + (half + m) * 64, g.p.a.width, tile.b_column, g.p.b.width);
  }
}

template <class Shape>
__global__ void __launch_bounds__(threads, 1) gradient(const __grid_constant__ GradientProblem g) {
  extern __shared__ unsigned char shared[];
  const Room<Shape> room(shared);
  if (threadIdx.x == 0) room.init(1 + 128);  // the copy engine's thread, threads that copy
  __syncthreads();
  if (threadIdx.x < 128) {
    hopper::give_registers<56>();
    copy_gradients<Shape>(g, room);
  } else {
    hopper::take_registers<224>();
    multiply_gradients<Shape>(g, room, threadIdx.x / 128 - 1);
  }
}

template <class Shape>
void launch_gradient(const Call& call, const WeightGradient& p) {
  GradientProblem g{{},
                    {},
                    {call.first, call.last, call.most},
                    0,
                    p,
                    (p.a.width + Shape::rows - 1) / Shape::rows,
                    (p.b.width + Shape::columns - 1) / Shape::columns,
                    call.hang};
  g.tiles = std::int64_t{call.experts} * g.down * g.across;
  if (!p.a.index && call.rows > 0) g.a_map = matrix_map(p.a.data, call.rows, p.a.width, p.a.width, depth_step);
  if (!p.b.index && call.rows > 0) g.b_map = matrix_map(p.b.data, call.rows, p.b.width, p.b.width, depth_step);
  const int blocks = static_cast<int>(g.tiles < multiprocessors() ? g.tiles : multiprocessors());
  check_cuda(cudaFuncSetAttribute(gradient<Shape>, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::shared_bytes),
             "cudaFuncSetAttribute");
  gradient<Shape><<<blocks, threads, Shape::shared_bytes, call.stream>>>(g);
  check_cuda(cudaGetLastError(), "launch of a weight gradient of experts");
}

}  // namespace

void weight_gradient(const Call& call, const WeightGradient& p) {
  expect(call.rows >= 0 && call.rows < (std::int64_t{1} << 31) - 256, "fewer than 2^31 rows");
  expect(p.a.width > 0 && p.b.width > 0 && p.a.width % 8 == 0 && p.b.width % 8 == 0, "widths in eights");
  expect(p.grains > 0, "at least one grain");
  if (call.experts == 0) return;
  switch (choose_gradient(call)) {
    case TileShape::tall:
    case TileShape::tall_pair:
      return launch_gradient<Tall>(call, p);
    case TileShape::square:
      return launch_gradient<Square>(call, p);
    case TileShape::small:
      return launch_gradient<Small>(call, p);
    default:
      return launch_gradient<Flat>(call, p);
  }
}

}  // namespace switchyard::products::experts
