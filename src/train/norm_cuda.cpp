// The sums of a gradient norm on a GPU: one launch for the blocks of all parameters, one for their units, the total and
// what the update goes by.
#include <algorithm>

#include "tensor/launch_cuda.hpp"
#include "tensor/packs_cuda.hpp"
#include "train/norm_sums.hpp"

namespace switchyard::train {
namespace {

constexpr int threads = 256;
constexpr int warps = threads / gpu::warp;
static_assert(unit_block % (4 * threads) == 0);

__device__ double warp_sum(double sum) {
#pragma unroll
  for (int distance = gpu::warp / 2; distance > 0; distance /= 2) sum += __shfl_xor_sync(gpu::all_lanes, sum, distance);
  return sum;
}

/// Σ x² over a block: thread t has elements 4t, …, 4t + 3 of every 1024.
__device__ double block_square_sum(const float* x) {
  constexpr int reads = unit_block / (4 * threads);
  float4 v[reads];
#pragma unroll
  for (int k = 0; k < reads; ++k) v[k] = reinterpret_cast<const float4*>(x)[k * threads + threadIdx.x];
  double sum = 0.0;
#pragma unroll
  for (int k = 0; k < reads; ++k)
    for (const float value : {v[k].x, v[k].y, v[k].z, v[k].w})
      sum = fma(static_cast<double>(value), static_cast<double>(value), sum);
  __shared__ double of_warp[warps];
  sum = warp_sum(sum);
  if (threadIdx.x % gpu::warp == 0) of_warp[threadIdx.x / gpu::warp] = sum;
  __syncthreads();
  sum = 0.0;
  if (threadIdx.x == 0)
    for (const double part : of_warp) sum += part;
  return sum;  // of thread 0
}

/// Of blocks of two slabs where there is a table; else of the first slab's from its start.
__global__ void __launch_bounds__(threads)
    block_sums(const UpdateBlock* table, const float* replicated, const float* expert, double* sums) {
  const float* slab = replicated;
  Index at = blockIdx.x;
  gpu::await_before();
  gpu::let_next_come();
  if (table) {
    const UpdateBlock block = table[blockIdx.x];
    slab = block.placement ? expert : replicated;
    at = block.at;
  }
  const double sum = block_square_sum(slab + at * unit_block);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

/// ordered_sum of n numbers, by a warp, past the first-level cache.
__device__ double ordered_sum_of(const double* sums, int n) {
  double chain = 0.0;
#pragma unroll 8
  for (int i = threadIdx.x % gpu::warp; i < n; i += gpu::warp) chain += __ldcg(sums + i);
  return warp_sum(chain);
}

struct Units {
  const double* blocks;
  const UnitBlocks* table;
  int count;
  double* sums;
  double clip;
  NormState* state;
  std::uint32_t* finished;
};

__device__ void write_state(const Units& a, double total) {
  const double norm = sqrt(total);
  a.state->total = total;
  a.state->clip = static_cast<float>(a.clip > 0.0 && norm > a.clip ? a.clip / norm : 1.0);
  a.state->finite = isfinite(total);
  *a.finished = 0;
}

/// A warp a unit; the block that is through last has the sums of all others.
__global__ void __launch_bounds__(threads) unit_sums(Units a) {
  __shared__ bool last;
  gpu::await_before();
  gpu::let_next_come();
  const int unit = static_cast<int>(blockIdx.x) * warps + static_cast<int>(threadIdx.x) / gpu::warp;
  if (unit < a.count) {
    const double sum = ordered_sum_of(a.blocks + a.table[unit].first, a.table[unit].count);
    if (threadIdx.x % gpu::warp == 0) a.sums[unit] = sum;
  }
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last = atomicAdd(a.finished, 1u) == gridDim.x - 1;
  __syncthreads();
  if (!last || threadIdx.x >= gpu::warp) return;
  __threadfence();
  const double total = ordered_sum_of(a.sums, a.count);
  if (threadIdx.x == 0) write_state(a, total);
}

void make_tables(const Queue& queue, const ParameterSet& parameters, NormMemory& memory) {
  if (memory.state.extent(0) > 0) return;
  memory.blocks = to_device("norm::blocks", update_blocks(parameters));
  memory.units = to_device("norm::units", unit_blocks(parameters));
  memory.state = make_view<Vector<NormState>>("norm::state", 1);
  memory.read = make_view<StagingVector<NormState>>("norm::read", 1);
  memory.finished = make_view<Vector<std::uint32_t>>("norm::finished", 1);
  fill(queue, memory.finished, 0u);
  memory.sums.reserve(memory.blocks.extent(0) + memory.units.extent(0));
}

}  // namespace

void sum_blocks(const Queue& queue, const float* gradient, Index blocks, double* sums) {
  if (blocks == 0) return;
  gpu::launch(block_sums, static_cast<unsigned>(blocks), threads, 0, gpu::stream_of(queue), nullptr, gradient, nullptr,
              sums);
}

double ordered_sum(const std::vector<double>& sums) {
  double chain[gpu::warp] = {};
  for (std::size_t i = 0; i < sums.size(); ++i) chain[i % gpu::warp] += sums[i];
  for (int half = gpu::warp / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) chain[l] += chain[l + half];
  return chain[0];
}

void begin_norm(const Queue& queue, const ParameterSet& parameters, const Gradients& gradients, double clip,
                NormMemory& memory) {
  make_tables(queue, parameters, memory);
  const auto blocks = static_cast<unsigned>(memory.blocks.extent(0));
  const int units = static_cast<int>(memory.units.extent(0));
  double* sums = memory.sums.device();
  if (blocks > 0)
    gpu::launch(block_sums, blocks, threads, 0, gpu::stream_of(queue), memory.blocks.data(), gradients.slab[0].data(),
                gradients.slab[1].data(), sums);
  const Units of{sums, memory.units.data(), units, sums + blocks, clip, memory.state.data(), memory.finished.data()};
  gpu::launch(unit_sums, std::max(1u, gpu::blocks_for(units, warps)), threads, 0, gpu::stream_of(queue), of);
  copy(queue, memory.read, memory.state);
}

}  // namespace switchyard::train
