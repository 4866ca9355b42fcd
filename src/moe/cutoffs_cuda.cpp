// Cutoffs counted on a GPU: a block has eight experts, whose bins are in its shared memory.
#include "base/check.hpp"
#include "moe/cutoffs.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/packs_cuda.hpp"

namespace switchyard::moe {
namespace {

constexpr int side = 8, block_threads = 1024, block_rows = block_threads / side;

struct Counted {
  const float *score, *cutoff, *bins;
  std::int32_t* counts;
  Index tokens;
  int experts, length;
};

__global__ void __launch_bounds__(block_threads) count_experts(Counted a) {
  extern __shared__ std::int32_t of_bin[];
  const int me = static_cast<int>(threadIdx.x), first = static_cast<int>(blockIdx.x) * side;
  const int mine = me % side, e = first + mine, cells = side * a.length;
  for (int i = me; i < cells; i += block_threads) of_bin[i] = 0;
  gpu::await_before();
  gpu::let_next_come();
  const float begin = a.bins[0], per_unit = a.bins[1];
  __syncthreads();
  for (Index t = me / side; e < a.experts && t < a.tokens; t += block_rows) {
    const float at = (a.cutoff[t] - a.score[t * a.experts + e] - begin) * per_unit;
    const int bin = at >= 0.0f ? (at < static_cast<float>(a.length) ? static_cast<int>(at) : a.length - 1) : 0;
    atomicAdd(&of_bin[mine * a.length + bin], 1);
  }
  __syncthreads();
  for (int i = me; i < cells && first + i / a.length < a.experts; i += block_threads)
    a.counts[static_cast<Index>(first) * a.length + i] = of_bin[i];
}

}  // namespace

void count_cutoffs(const Queue& queue, const Matrix<float>& score, const Vector<float>& cutoff,
                   const Vector<float>& bins, const Matrix<std::int32_t>& counts) {
  const Counted a{score.data(),
                  cutoff.data(),
                  bins.data(),
                  counts.data(),
                  static_cast<Index>(cutoff.extent(0)),
                  static_cast<int>(counts.extent(0)),
                  static_cast<int>(counts.extent(1))};
  expect(a.length <= max_cutoff_bins, "bins of eight experts in shared memory");
  const std::size_t bytes = side * a.length * sizeof(std::int32_t);
  gpu::launch(count_experts, static_cast<unsigned>((a.experts + side - 1) / side), block_threads, bytes,
              gpu::stream_of(queue), a);
}

}  // namespace switchyard::moe
