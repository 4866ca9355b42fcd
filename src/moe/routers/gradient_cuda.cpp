// The gradient of a token's logits by a warp.
#include "moe/routers/warp_row_cuda.hpp"
#include "tensor/launch_cuda.hpp"

namespace switchyard::moe::warps {
namespace {

constexpr float tiny = 1e-20f;  // as in sigmoid_scores.cpp

struct Gradient {
  RouterShape shape;
  unsigned tokens;
  Index unit_tokens;
  float z;
  const float *dweight, *coefficients, *score, *inverse, *lse;
  float* logits;
  const std::int32_t *first, *expert;
  const float* weight;
  const std::uint8_t* kept;
};

/// Lane j has choice j of a token, of `count`; other lanes have none, which adds nothing.
struct Chosen {
  int count;
  std::int32_t expert;
  float weight, d;  // d = dL/dweight, 0 where dropped
};

__device__ inline Chosen chosen_of(const Gradient& a, unsigned t) {
  const Index i = Index{a.first[t]} + lane();
  const int count = a.first[t + 1] - a.first[t];
  if (lane() >= count) return {count, -1, 0.0f, 0.0f};
  return {count, a.expert[i], a.weight[i], a.kept[i] ? a.dweight[i] : 0.0f};
}

/// Σ_j weight_j · dL/dweight_j, in order.
__device__ inline float weighted_gradient(const Chosen& chosen) {
  float sum = 0.0f;
  for (int j = 0; j < chosen.count; ++j)
    sum = fmaf(__shfl_sync(all_lanes, chosen.weight, j), __shfl_sync(all_lanes, chosen.d, j), sum);
  return sum;
}

/// gradient(expert of choice j) += what lane j has.
template <class S>
__device__ inline void add_choices(const Chosen& chosen, float mine, float (&gradient)[S::slots]) {
  for (int j = 0; j < chosen.count; ++j) {
    const std::int32_t e = __shfl_sync(all_lanes, chosen.expert, j);
    const float of_choice = __shfl_sync(all_lanes, mine, j);
#pragma unroll
    for (int i = 0; i < S::slots; ++i)
      if (S::expert(i) == e) gradient[i] += of_choice;
  }
}

/// What flows through p and the log-sum-exp; `gradient` has the logits where z is not 0.
template <class S>
__device__ void sigmoid_row(const Gradient& a, unsigned t, const float (&score)[S::slots],
                            const float (&coefficient)[S::slots], float (&gradient)[S::slots]) {
  const float lse = a.lse[t], z = a.z * lse, inverse = a.inverse[t];
  if (z != 0.0f) read<S>(a.logits + Index{t} * a.shape.experts, a.shape.experts, -INFINITY, gradient);
  const float dot = dot_row<S>(score, coefficient) * inverse;
#pragma unroll
  for (int i = 0; i < S::slots; ++i) {
    gradient[i] = z == 0.0f ? 0.0f : z * fast_exp(gradient[i] - lse);
    gradient[i] += (coefficient[i] - dot) * inverse * (score[i] - score[i] * score[i]);
  }
}

/// What flows through the weight of the lane's choice: w = scale·s, or scale·s / (Σ selected s + tiny).
__device__ inline float through_sigmoid(const RouterShape& shape, const Chosen& chosen, const float* score) {
  const float s = chosen.expert < 0 ? 0.0f : score[chosen.expert];
  float divisor = 1.0f, dot = 0.0f;
  if (shape.normalise == Normalise::after) {
    float sum = 0.0f;
    for (int j = 0; j < chosen.count; ++j) sum += __shfl_sync(all_lanes, s, j);
    divisor = sum + tiny;
    dot = weighted_gradient(chosen);
  }
  return (shape.scale * chosen.d - dot) / divisor * (s - s * s);
}

template <class S>
__device__ void softmax_row(const Gradient& a, unsigned t, float through, const float (&score)[S::slots],
                            const float (&coefficient)[S::slots], float (&gradient)[S::slots]) {
  const float z = a.z * a.lse[t], dot = dot_row<S>(score, coefficient) + through;
#pragma unroll
  for (int i = 0; i < S::slots; ++i) gradient[i] = score[i] * (coefficient[i] - dot + z);
}

template <class S, Family family>
__global__ void __launch_bounds__(token_block) gradient_rows(Gradient a) {
  const unsigned t = blockIdx.x * block_tokens + threadIdx.x / warp;
  gpu::await_before();
  gpu::let_next_come();
  if (t >= a.tokens) return;
  const int n = a.shape.experts;
  const float* row = a.score + Index{t} * n;
  const Chosen chosen = chosen_of(a, t);
  float score[S::slots], coefficient[S::slots], gradient[S::slots], mine;
  read<S>(row, n, 0.0f, score);
  read<S>(a.coefficients + t / a.unit_tokens * n, n, 0.0f, coefficient);
  if constexpr (family == Family::sigmoid) {
    sigmoid_row<S>(a, t, score, coefficient, gradient);
    mine = through_sigmoid(a.shape, chosen, row);
  } else {
    const float weighted = weighted_gradient(chosen);
    softmax_row<S>(a, t, a.shape.normalise == Normalise::before ? weighted : 0.0f, score, coefficient, gradient);
    mine = chosen.weight * (chosen.d - (a.shape.normalise == Normalise::after ? weighted / a.shape.scale : 0.0f));
  }
  add_choices<S>(chosen, mine, gradient);
  write<S>(gradient, n, a.logits + Index{t} * n);
}

}  // namespace

void gradient(const Queue& queue, const RouterShape& shape, Family family, const ScoreGradient& g,
              const RouterPass& pass) {
  const Scores& s = pass.scores;
  const Choice& c = pass.choice;
  const Gradient a{shape,           static_cast<unsigned>(s.score.extent(0)),
                   g.unit_tokens,   g.z,
                   g.weight.data(), g.coefficients.data(),
                   s.score.data(),  s.inverse.data(),
                   s.lse.data(),    s.logits.data(),
                   c.first.data(),  c.expert.data(),
                   c.weight.data(), c.kept.data()};
  if (a.tokens == 0) return;
  for (const float* rows : {a.score, a.coefficients, static_cast<const float*>(a.logits)})
    expect_rows(shape.experts, rows);
  by_shape(shape.experts, [&](auto of_rows) {
    using S = decltype(of_rows);
    const unsigned blocks = gpu::blocks_for(a.tokens, block_tokens);
    if (family == Family::sigmoid)
      gpu::launch(gradient_rows<S, Family::sigmoid>, blocks, token_block, 0, gpu::stream_of(queue), a);
    else
      gpu::launch(gradient_rows<S, Family::softmax>, blocks, token_block, 0, gpu::stream_of(queue), a);
  });
}

}  // namespace switchyard::moe::warps
