// Scores, selection and combine weights of a token by a warp, from its logits.
#include "moe/routers/route_row_cuda.hpp"
#include "tensor/launch_cuda.hpp"

namespace switchyard::moe::warps {
namespace {

template <class S, Family family>
__global__ void __launch_bounds__(token_block) route_rows(Routed a) {
  const unsigned t = blockIdx.x * block_tokens + threadIdx.x / warp;
  if (t >= a.tokens) return;
  gpu::await_before();
  gpu::let_next_come();
  float logit[S::slots];
  read<S>(a.logits + Index{t} * a.shape.experts, a.shape.experts, -INFINITY, logit);
  route_row<S, family>(a, t, logit);
}

template <class S>
__global__ void __launch_bounds__(token_block) select_rows(Routed a) {
  const unsigned t = blockIdx.x * block_tokens + threadIdx.x / warp;
  if (t >= a.tokens) return;
  const int n = a.shape.experts;
  gpu::await_before();
  gpu::let_next_come();
  float order[S::slots], score[S::slots];
  read<S>(a.order + Index{t} * n, n, 0.0f, order);
  read<S>(a.score + Index{t} * n, n, 0.0f, score);
  std::int32_t key[S::slots];
  make_keys<S>(a, order, key);
  const OfLane mine = choose<S>(a, t, key, score, score);
  if (lane() >= a.shape.top_k) return;
  const Index i = Index{a.first[t]} + lane();
  a.expert[i] = mine.expert, a.kept[i] = 1;
}

void launch(const Queue& queue, const Routed& a) {
  if (a.tokens == 0) return;
  for (const void* rows :
       {static_cast<const void*>(a.logits), static_cast<const void*>(a.score), static_cast<const void*>(a.bias)})
    expect_rows(a.shape.experts, rows);
  by_shape(a.shape.experts, [&](auto shape) {
    using S = decltype(shape);
    const auto kernel =
        a.scoring.family == Family::sigmoid ? route_rows<S, Family::sigmoid> : route_rows<S, Family::softmax>;
    gpu::launch(kernel, dim3(gpu::blocks_for(a.tokens, block_tokens)), dim3(token_block), 0, gpu::stream_of(queue), a);
  });
}

}  // namespace

void score(const Queue& queue, const Scoring& scoring, const Scores& scores) {
  launch(queue, of_scores(scoring, scores));
}

void route(const Queue& queue, const RouterShape& shape, const Scoring& scoring, const Vector<float>& bias,
           const RouterPass& pass) {
  Routed a = of_scores(scoring, pass.scores);
  put_choice(a, shape, pass.choice, bias, pass.margin);
  launch(queue, a);
}

void select(const Queue& queue, const RouterShape& shape, const RankedBy& by, const Choice& choice,
            const Vector<float>& margin) {
  Routed a{};
  put_choice(a, shape, choice, by.bias, margin);
  a.tokens = static_cast<unsigned>(choice.tokens());
  a.order = by.order.data(), a.score = by.score.data();
  if (a.tokens == 0) return;
  for (const float* rows : {a.order, static_cast<const float*>(a.score), a.bias}) expect_rows(shape.experts, rows);
  by_shape(shape.experts, [&](auto of_rows) {
    gpu::launch(select_rows<decltype(of_rows)>, dim3(gpu::blocks_for(a.tokens, block_tokens)), dim3(token_block), 0,
                gpu::stream_of(queue), a);
  });
}

}  // namespace switchyard::moe::warps
