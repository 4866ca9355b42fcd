// The counts and sums of a pass on a GPU: a block has some columns of one sequence, so that nothing is added across
// blocks. Sums of a column are of strips of tokens, which meet along a tree: an order of the context and the number of
// experts alone.
#include "moe/margin_bin.hpp"
#include "moe/tally.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/packs_cuda.hpp"

namespace switchyard::moe {
namespace {

constexpr int sequence_block = 1024;

/// What a launch reads and writes. Columns are experts, then those of SumOfTokens.
struct Counted {
  const std::int32_t *first, *expert;
  const std::uint8_t* kept;
  const float *score, *inverse, *of_token[sums_of_tokens], *token_margin;
  std::int32_t *assigned, *kept_of, *margin;
  double *mass, *sums;
  Index context;
  int experts, bins;
};

/// The part of a strip of a column: tokens strip, strip + strips, …
template <int strips>
__device__ double sum_strip(const Counted& a, Index sequence, int column, int strip) {
  if (column >= a.experts + sums_of_tokens) return 0.0;
  const bool mass = column < a.experts, squared = column == a.experts + squares_sum;
  const float* from = mass ? a.score + column : a.of_token[column - a.experts];
  const Index stride = mass ? a.experts : 1, begin = sequence * a.context;
  double sum = 0.0;
#pragma unroll 8
  for (Index t = begin + strip; t < begin + a.context; t += strips) {
    const float value = from[t * stride], inverse = a.inverse[t];
    sum += mass      ? static_cast<double>(value * inverse)
           : squared ? static_cast<double>(value) * static_cast<double>(value)
                     : static_cast<double>(value);
  }
  return sum;
}

template <int columns>
__device__ void sum_columns(const Counted& a, Index sequence, int first_column) {
  constexpr int strips = sequence_block / columns;
  __shared__ double part[sequence_block];
  const int me = static_cast<int>(threadIdx.x), column = first_column + me % columns, strip = me / columns;
  part[me] = sum_strip<strips>(a, sequence, column, strip);
  for (int half = strips / 2; half > 0; half /= 2) {
    __syncthreads();
    if (strip < half) part[me] += part[me + half * columns];
  }
  if (strip > 0 || column >= a.experts + sums_of_tokens) return;
  if (column < a.experts)
    a.mass[sequence * a.experts + column] = part[me];
  else
    a.sums[sequence * sums_of_tokens + column - a.experts] = part[me];
}

/// Choices of the experts [first_column, first_column + columns).
template <int columns>
__device__ void count_columns(const Counted& a, Index sequence, int first_column) {
  __shared__ std::int32_t assigned[columns], kept[columns];
  const int me = static_cast<int>(threadIdx.x);
  if (me < columns) assigned[me] = kept[me] = 0;
  __syncthreads();
  const Index last = a.first[(sequence + 1) * a.context];
  for (Index i = a.first[sequence * a.context] + me; i < last; i += sequence_block) {
    const int column = a.expert[i] - first_column;
    if (column < 0 || column >= columns) continue;
    atomicAdd(&assigned[column], 1);
    if (a.kept[i]) atomicAdd(&kept[column], 1);
  }
  __syncthreads();
  if (me >= columns || first_column + me >= a.experts) return;
  a.assigned[sequence * a.experts + first_column + me] = assigned[me];
  a.kept_of[sequence * a.experts + first_column + me] = kept[me];
}

__device__ void count_margins(const Counted& a, Index sequence) {
  extern __shared__ std::int32_t of_bin[];
  for (int bin = static_cast<int>(threadIdx.x); bin < a.bins; bin += sequence_block) of_bin[bin] = 0;
  __syncthreads();
  const Index end = (sequence + 1) * a.context;
  for (Index t = sequence * a.context + threadIdx.x; t < end; t += sequence_block)
    atomicAdd(&of_bin[margin_bin(a.token_margin[t], a.bins)], 1);
  __syncthreads();
  for (int bin = static_cast<int>(threadIdx.x); bin < a.bins; bin += sequence_block)
    a.margin[sequence * a.bins + bin] = of_bin[bin];
}

template <int columns>
__global__ void __launch_bounds__(sequence_block) count_sequence(Counted a) {
  const int groups = (a.experts + sums_of_tokens + columns - 1) / columns;
  const Index sequence = blockIdx.x / groups;
  const int group = static_cast<int>(blockIdx.x % groups);
  gpu::await_before();
  gpu::let_next_come();
  count_columns<columns>(a, sequence, group * columns);
  if (group == groups - 1) count_margins(a, sequence);
  sum_columns<columns>(a, sequence, group * columns);
}

template <int columns>
void launch(const Queue& queue, const Counted& a, Index sequences) {
  const Index blocks = (a.experts + sums_of_tokens + columns - 1) / columns * sequences;
  const std::size_t bytes = a.bins * sizeof(std::int32_t);
  expect(bytes <= 32768, "at most 8192 bins of margins");
  gpu::launch(count_sequence<columns>, static_cast<unsigned>(blocks), sequence_block, bytes, gpu::stream_of(queue), a);
}

}  // namespace

void count_sequences(const Queue& queue, const Choice& choice, const Scores& s, const Tally& t) {
  const Index sequences = t.assigned.extent(0), tokens = choice.tokens();
  const Counted a{choice.first.data(),
                  choice.expert.data(),
                  choice.kept.data(),
                  s.score.data(),
                  s.inverse.data(),
                  {s.entropy.data(), s.lse.data(), t.facts.variance.data(), t.facts.weight.data()},
                  t.token_margin.data(),
                  t.assigned.data(),
                  t.kept.data(),
                  t.margin.data(),
                  t.mass.data(),
                  t.sums.data(),
                  tokens / sequences,
                  static_cast<int>(t.assigned.extent(1)),
                  static_cast<int>(t.margin.extent(1))};
  a.experts <= 4 ? launch<8>(queue, a, sequences) : launch<32>(queue, a, sequences);
}

}  // namespace switchyard::moe
