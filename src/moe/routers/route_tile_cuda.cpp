// Routing in one launch from the rows that a router reads: a block makes the logits of some tokens on tensor cores
// (split_tile_cuda.hpp), in shared memory, and a warp a token routes them.
#include "moe/routers/route_row_cuda.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/products/split_tile_cuda.hpp"

namespace switchyard::moe::warps {
namespace {

namespace split = products::split;

constexpr int most_shared = 163840;  ///< bytes of the sums of a block, whatever its shape

/// The logits of row r of a tile, its strands in order; −infinity past the last expert.
template <class S>
__device__ void read_tile(const split::TileShape& s, const float* shared, int r, int n, float (&logit)[S::slots]) {
  read<S>(shared + r * s.stride(), n, -INFINITY, logit);
  for (int strand = 1; strand < s.strands; ++strand) {
    float part[S::slots];
    read<S>(shared + (strand * s.rows() + r) * s.stride(), n, 0.0f, part);
#pragma unroll
    for (int i = 0; i < S::slots; ++i) logit[i] += part[i];
  }
}

template <class S, Family family, int tall>
__global__ void __launch_bounds__(split::tile_threads, tall == 1 ? 2 : 1)
    route_tile(const __grid_constant__ Routed a, split::TileOperands o, split::TileShape s, float* logits) {
  extern __shared__ float shared[];
  const unsigned first = blockIdx.x * 16 * tall;
  gpu::await_before();
  gpu::let_next_come();
  split::multiply_tile<tall>(o, s, first, 0, shared);
  for (unsigned r = threadIdx.x / warp; r < 16 * tall && first + r < a.tokens; r += split::tile_warps) {
    float logit[S::slots];
    read_tile<S>(s, shared, static_cast<int>(r), o.columns, logit);
    write<S>(logit, o.columns, logits + Index{first + r} * o.columns);
    route_row<S, family>(a, first + r, logit);
  }
}

template <class S, Family family, int tall>
void launch_tall(cudaStream_t stream, const Routed& a, const split::TileOperands& o, const split::TileShape& s,
                 float* logits) {
  static const cudaError_t allowed =
      cudaFuncSetAttribute(route_tile<S, family, tall>, cudaFuncAttributeMaxDynamicSharedMemorySize, most_shared);
  check_cuda(allowed, "cudaFuncSetAttribute");
  gpu::launch(route_tile<S, family, tall>, dim3(gpu::blocks_for(a.tokens, s.rows())), dim3(split::tile_threads),
              static_cast<std::size_t>(s.bytes()), stream, a, o, s, logits);
}

template <class S, Family family>
void launch(cudaStream_t stream, const Routed& a, const split::TileOperands& o, float* logits) {
  const split::TileShape s = split::tile_shape(o.columns, o.depth);
  const auto with = s.tall == 1   ? launch_tall<S, family, 1>
                    : s.tall == 2 ? launch_tall<S, family, 2>
                                  : launch_tall<S, family, 4>;
  with(stream, a, o, s, logits);
}

/// The shapes of rows that a block's registers have room for.
template <class F>
void by_tile_shape(int n, const F& f) {
  if (n <= 32) return f(RowShape<1, 1>{});
  if (n <= 64) return f(RowShape<2, 1>{});
  if (n <= 128) return f(RowShape<4, 1>{});
  if (n <= 256) return f(RowShape<8, 4>{});
  f(RowShape<16, 4>{});
}

void launch(const Queue& queue, const Routed& a, const Tensor& weight, const RouterPass& pass) {
  if (a.tokens == 0) return;
  const int n = a.shape.experts;
  const auto x = pass.x.lines<Bf16>();
  const split::TileOperands o{reinterpret_cast<const std::uint16_t*>(x.data),
                              weight.lines<float>().data,
                              x.stride,
                              weight.stride,
                              a.tokens,
                              n,
                              static_cast<int>(pass.x.width)};
  float* logits = pass.scores.logits.data();
  for (const float* rows : {static_cast<const float*>(logits), static_cast<const float*>(a.score), a.bias})
    expect_rows(n, rows);
  by_tile_shape(n, [&](auto shape) {
    using S = decltype(shape);
    a.scoring.family == Family::sigmoid ? launch<S, Family::sigmoid>(gpu::stream_of(queue), a, o, logits)
                                        : launch<S, Family::softmax>(gpu::stream_of(queue), a, o, logits);
  });
}

}  // namespace

bool multiplies(const Tensor& weight, const Tensor& x) {
  const Index experts = weight.rows;
  return (experts <= 128 || (experts <= 512 && experts % 4 == 0)) && x.element == Element::bf16 &&
         weight.element == Element::f32 && x.width > 0 && gpu::in_packs(x) && gpu::in_packs(weight);
}

void score(const Queue& queue, const Scoring& scoring, const Tensor& weight, const RouterPass& pass) {
  launch(queue, of_scores(scoring, pass.scores), weight, pass);
}

void route(const Queue& queue, const RouterShape& shape, const Scoring& scoring, const Selected& selected,
           const RouterPass& pass) {
  Routed a = of_scores(scoring, pass.scores);
  put_choice(a, shape, pass.choice, selected.bias, pass.margin);
  launch(queue, a, selected.weight, pass);
}

}  // namespace switchyard::moe::warps
