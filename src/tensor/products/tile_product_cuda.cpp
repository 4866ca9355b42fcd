// Any product of many segments on an NVIDIA GPU without tensor cores, in tiles of shared memory: floats in single
// precision, and operands of Bf16 that the tensor memory accelerator cannot move.
#include <algorithm>
#include <cstdint>

#include "base/check.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/products/tile_panel_cuda.hpp"

namespace switchyard::products {
namespace {

constexpr int warp = 32;
constexpr Index enough_blocks = 256;  // large tiles where there are as many of them as keep the device busy

/// A tile of rows of D: of which group (−1 for none), and which.
struct Place {
  int group, tile;
};

/// Exclusive sum of one number a thread over the block.
__device__ int sum_before(int value) {
  __shared__ int of_warp[tile_threads / warp];
  const int lane = threadIdx.x % warp, mine = threadIdx.x / warp;
  int sum = value;
#pragma unroll
  for (int step = 1; step < warp; step *= 2) {
    const int below = __shfl_up_sync(~0u, sum, step);
    if (lane >= step) sum += below;
  }
  if (lane == warp - 1) of_warp[mine] = sum;
  __syncthreads();
  for (int w = 0; w < mine; ++w) sum += of_warp[w];
  return sum - value;
}

template <int side>
__device__ int tiles_of(const Grouped& p, int group) {
  return static_cast<int>((p.rows(group) + side - 1) / side);
}

/// Tile number `tile` of all groups' tiles of `side` rows, one group after another.
template <int side>
__device__ Place find(const Grouped& p, int tile) {
  __shared__ Place found;
  if (threadIdx.x == 0) found = {-1, 0};
  const int each = (p.count + tile_threads - 1) / tile_threads;
  const int first = min(static_cast<int>(threadIdx.x) * each, p.count), last = min(first + each, p.count);
  int tiles = 0;
  for (int g = first; g < last; ++g) tiles += tiles_of<side>(p, g);
  int before = sum_before(tiles);  // a barrier
  if (before <= tile && tile < before + tiles)
    for (int g = first; g < last; ++g) {
      const int here = tiles_of<side>(p, g);
      if (before <= tile && tile < before + here) found = {g, tile - before};
      before += here;
    }
  __syncthreads();
  return found;
}

template <int side>
__device__ Place place(const Grouped& p) {
  const int tile = static_cast<int>(blockIdx.x);
  if (p.kind != Kind::weight_gradient) return find<side>(p, tile);
  const int tiles = (p.m + side - 1) / side;
  return {tile / tiles, tile % tiles};
}

/// Four results beside each other, of which `valid` are there.
template <bool vector, class Out>
__device__ void write(const float* sums, Out* to, int valid, bool add) {
  if constexpr (vector && sizeof(Out) == sizeof(float))
    if (valid >= 4) {
      float4 v{sums[0], sums[1], sums[2], sums[3]};
      const float4 old = add ? *reinterpret_cast<float4*>(to) : float4{};
      if (add) v = {old.x + v.x, old.y + v.y, old.z + v.z, old.w + v.w};
      *reinterpret_cast<float4*>(to) = v;
      return;
    }
#pragma unroll
  for (int j = 0; j < 4; ++j)
    if (j < valid) store(add ? load(to[j]) + sums[j] : sums[j], to[j]);
}

struct Corner {
  int row, column;
};

template <bool vector, int side, class Out>
__device__ void write_tile(const TileSums<side>& sums, Out* to, const Grouped& p, int rows, const Corner& at) {
  const int y = threadIdx.x / 16, x = threadIdx.x % 16;
#pragma unroll
  for (int i = 0; i < TileSums<side>::width; ++i)
#pragma unroll
    for (int part = 0; part < TileSums<side>::width / 4; ++part) {
      const int row = at.row + i / 4 * 64 + 4 * y + i % 4, column = at.column + part * 64 + 4 * x;
      if (row < rows) write<vector>(&sums.at[i][4 * part], to + row * p.d.stride + column, p.n - column, p.add);
    }
}

/// How the operands of each product lie.
constexpr bool a_along_depth(Kind kind) { return kind != Kind::weight_gradient; }
constexpr bool b_along_depth(Kind kind) { return kind == Kind::forward; }

template <Kind kind, class A, class B, class Out, int side, bool vector>
__global__ void __launch_bounds__(tile_threads, side == 128 ? 2 : 3) multiply_tile(Grouped p) {
  __shared__ TilePanel<side> a[2], b[2];
  gpu::await_before();
  gpu::let_next_come();
  const Place here = place<side>(p);
  if (here.group < 0) return;
  const int rows = static_cast<int>(p.rows(here.group)), m = p.m < 0 ? rows : p.m, k = p.k < 0 ? rows : p.k;
  const Corner at{here.tile * side, static_cast<int>(blockIdx.y) * side};
  const TileSource<A> left{reinterpret_cast<const A*>(p.begin(p.a, here.group)), p.a.stride, m, k};
  const TileSource<B> right{reinterpret_cast<const B*>(p.begin(p.b, here.group)), p.b.stride, p.n, k};
  TileReader<a_along_depth(kind), vector, side, A> read_a(left, at.row);
  TileReader<b_along_depth(kind), vector, side, B> read_b(right, at.column);
  TileSums<side> sums{};
  float4 next_a = read_a.next(), next_b = read_b.next();
  for (int step = 0, now = 0; step < k; step += tile_depth(side), now ^= 1) {
    read_a.put(next_a, a[now]), read_b.put(next_b, b[now]);
    __syncthreads();  // and no thread is more than one step behind, so that its panels are the other ones
    next_a = read_a.next(), next_b = read_b.next();
    accumulate(a[now], b[now], k - step, sums);
  }
  write_tile<vector, side>(sums, reinterpret_cast<Out*>(p.begin(p.d, here.group)), p, m, at);
}

Index tiles_along(Index size, Index side) { return (size + side - 1) / side; }

/// Tiles of rows of D in all groups, at most.
Index row_tiles(const Grouped& p, Index side) {
  if (p.kind == Kind::weight_gradient) return p.count * tiles_along(p.m, side);
  return p.count == 1 ? tiles_along(p.segments.rows, side) : p.segments.rows / side + p.count;
}

template <Kind kind, class A, class B, class Out, int side, bool vector>
void launch(cudaStream_t stream, const Grouped& p) {
  const dim3 blocks(static_cast<unsigned>(row_tiles(p, side)), static_cast<unsigned>(tiles_along(p.n, side)));
  gpu::launch(multiply_tile<kind, A, B, Out, side, vector>, blocks, tile_threads, 0, stream, p);
}

/// Whether four neighbours may be read and written at once.
bool in_vectors(const Grouped& p) {
  const auto aligned = [](const GroupOperand& o, Element element) {
    const Index line = 4 * bytes_of(element);
    return reinterpret_cast<std::uintptr_t>(o.data) % line == 0 && o.stride % 4 == 0 && o.by_row % line == 0 &&
           o.by_outer % line == 0 && o.by_inner % line == 0;
  };
  return aligned(p.a, p.of.a) && aligned(p.b, p.of.b) && aligned(p.d, p.of.d);
}

/// Of floats, or of one such operand. Tiles change no bit, since an element is one chain.
template <Kind kind, class A, class B>
void of_floats(cudaStream_t stream, const Grouped& p) {
  if (!in_vectors(p)) return launch<kind, A, B, float, 64, false>(stream, p);
  const bool few_rows = kind != Kind::weight_gradient && p.segments.rows < 64 * Index{p.count};
  const bool small = few_rows || row_tiles(p, 128) * tiles_along(p.n, 128) < enough_blocks;
  (small ? launch<kind, A, B, float, 64, true> : launch<kind, A, B, float, 128, true>)(stream, p);
}

template <Kind kind>
void of_halves(cudaStream_t stream, const Grouped& p) {
  if constexpr (kind != Kind::weight_gradient)
    if (p.of.d == Element::bf16) return launch<kind, Bf16, Bf16, Bf16, 64, false>(stream, p);
  launch<kind, Bf16, Bf16, float, 64, false>(stream, p);
}

template <Kind kind>
void multiply_of(cudaStream_t stream, const Grouped& p) {
  if (p.of.alike(Element::bf16)) return of_halves<kind>(stream, p);
  expect(p.of.d == Element::f32, "products of floats in floats");
  if (p.of.alike(Element::f32)) return of_floats<kind, float, float>(stream, p);
  // What is between a router, whose numbers are floats, and the rows that it reads.
  (p.of.a == Element::f32 ? of_floats<kind, float, Bf16> : of_floats<kind, Bf16, float>)(stream, p);
}

}  // namespace

void multiply_tiles(cudaStream_t stream, const Grouped& p) {
  expect(tiles_along(p.n, 64) < 65536 && row_tiles(p, 64) < (Index{1} << 31), "a product that one launch takes");
  if (p.kind == Kind::forward) return multiply_of<Kind::forward>(stream, p);
  if (p.kind == Kind::input_gradient) return multiply_of<Kind::input_gradient>(stream, p);
  multiply_of<Kind::weight_gradient>(stream, p);
}

}  // namespace switchyard::products
