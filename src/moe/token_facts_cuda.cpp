// Facts of tokens on a GPU: a warp a token, sums of its lanes along a tree.
#include "moe/token_facts.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/packs_cuda.hpp"

namespace switchyard::moe {
namespace {

constexpr int block_threads = 256, block_tokens = block_threads / gpu::warp;

struct Seen {
  Choice choice;
  const float *score, *bias;
  TokenFacts facts;
  Index tokens;
  int experts;
};

__device__ float sum_of_lanes(float v) {
  for (int half = gpu::warp / 2; half > 0; half /= 2) v += __shfl_xor_sync(gpu::all_lanes, v, half);
  return v;
}

__device__ bool has(const TokenChoices& chosen, int e) {
  for (int j = 0; j < chosen.count; ++j)
    if (chosen.expert[j] == e) return true;
  return false;
}

__global__ void __launch_bounds__(block_threads) find_facts(Seen a) {
  const int lane = static_cast<int>(threadIdx.x) % gpu::warp;
  const Index t = static_cast<Index>(blockIdx.x) * block_tokens + threadIdx.x / gpu::warp;
  gpu::await_before();
  gpu::let_next_come();
  if (t >= a.tokens) return;
  const TokenChoices chosen = a.choice.of(t);
  const float* score = a.score + t * a.experts;
  float sum = 0.0f, squares = 0.0f, cutoff = -INFINITY, weight = 0.0f;
  for (int e = lane; e < a.experts; e += gpu::warp) sum += score[e];
  const float mean = sum_of_lanes(sum) / static_cast<float>(a.experts);
  for (int e = lane; e < a.experts; e += gpu::warp) {
    squares += (score[e] - mean) * (score[e] - mean);
    if (!has(chosen, e)) cutoff = fmaxf(cutoff, score[e] + a.bias[e]);
  }
  squares = sum_of_lanes(squares);
  for (int half = gpu::warp / 2; half > 0; half /= 2)
    cutoff = fmaxf(cutoff, __shfl_xor_sync(gpu::all_lanes, cutoff, half));
  if (lane > 0) return;
  for (int j = 0; j < chosen.count; ++j) weight += chosen.weight[j];
  a.facts.variance(t) = squares / static_cast<float>(a.experts);
  a.facts.weight(t) = weight, a.facts.cutoff(t) = cutoff;
}

}  // namespace

void find_token_facts(const Queue& queue, const Choice& choice, const Matrix<float>& score, const Vector<float>& bias,
                      const TokenFacts& facts) {
  const Seen a{choice, score.data(), bias.data(), facts, choice.tokens(), static_cast<int>(score.extent(1))};
  const auto blocks = static_cast<unsigned>((a.tokens + block_tokens - 1) / block_tokens);
  gpu::launch(find_facts, blocks, block_threads, 0, gpu::stream_of(queue), a);
}

}  // namespace switchyard::moe
