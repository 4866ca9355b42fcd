// The sums of a gradient norm on the CPU.
#include <numeric>

#include "tensor/lanes.hpp"
#include "train/norm_sums.hpp"

namespace switchyard::train {
namespace {

constexpr Index block = unit_block;  // what fills a unit up is +0 and adds nothing

/// Σ x² over n elements: element i in lane i mod 16, lanes added in pairs at distance 8, 4, 2, 1.
KOKKOS_INLINE_FUNCTION double square_sum(const float* x, Index n) {
  double lane[lane_count] = {};
  Index i = 0;
  for (; i + lane_count <= n; i += lane_count)
    for (int l = 0; l < lane_count; ++l) {
      const double value = x[i + l];
      lane[l] = Kokkos::fma(value, value, lane[l]);
    }
  for (int l = 0; i + l < n; ++l) lane[l] = Kokkos::fma(double(x[i + l]), double(x[i + l]), lane[l]);
  for (int half = lane_count / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  return lane[0];
}

}  // namespace

void sum_blocks(const Queue& queue, const float* gradient, Index blocks, double* sums) {
  Kokkos::parallel_for(
      "switchyard::norm::blocks", queue.range(blocks),
      KOKKOS_LAMBDA(Index i) { sums[i] = square_sum(gradient + i * block, block); });
}

double ordered_sum(const std::vector<double>& sums) { return std::accumulate(sums.begin(), sums.end(), 0.0); }

void begin_norm(const Queue& /*queue*/, const ParameterSet& /*parameters*/, const Gradients& /*gradients*/,
                double /*clip*/, NormMemory& /*memory*/) {
  expect(false, "a device (norm_on_device)");
}

}  // namespace switchyard::train
