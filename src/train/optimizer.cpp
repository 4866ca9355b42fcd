#include "train/optimizer.hpp"

#include <cmath>

namespace switchyard::train {
namespace {

/// Elements of one iteration: enough for vectors and few forks on a host, one a thread on a device.
constexpr Index chunk = on_host ? 4096 : 1;

KOKKOS_INLINE_FUNCTION void update_run(const AdamW& a, const float* __restrict__ g, float* __restrict__ p,
                                       float* __restrict__ m, float* __restrict__ v, Index n) {
  for (Index i = 0; i < n; ++i) adamw_element(a, g[i], p[i], m[i], v[i]);
}

void update(const AdamW a, const float* g, float* p, float* m, float* v, Index size) {
  Kokkos::parallel_for(
      "switchyard::optimizer::adamw", Kokkos::RangePolicy<Device>(0, (size + chunk - 1) / chunk),
      KOKKOS_LAMBDA(Index c) {
        const Index first = c * chunk;
        const Index n = size - first < chunk ? size - first : chunk;
        update_run(a, g + first, p + first, m + first, v + first, n);
      });
}

}  // namespace

AdamW adamw_scalars(const TrainConfig& c, double learning_rate, double clip_factor, std::int64_t step, bool decay) {
  const double correction1 = 1.0 - std::pow(c.beta1, static_cast<double>(step));
  const double correction2 = 1.0 - std::pow(c.beta2, static_cast<double>(step));
  return {.clip = static_cast<float>(clip_factor),
          .keep = static_cast<float>(decay ? 1.0 - learning_rate * c.weight_decay : 1.0),
          .beta2 = static_cast<float>(c.beta2),
          .one_minus_beta1 = static_cast<float>(1.0 - c.beta1),
          .one_minus_beta2 = static_cast<float>(1.0 - c.beta2),
          .step_size = static_cast<float>(learning_rate / correction1),
          .root_scale = static_cast<float>(1.0 / std::sqrt(correction2)),
          .epsilon = static_cast<float>(c.epsilon)};
}

void adamw(ParameterSet& parameters, const Gradients& gradients, const TrainConfig& config, double learning_rate,
           double clip_factor, std::int64_t step) {
  const AdamW kinds[2] = {adamw_scalars(config, learning_rate, clip_factor, step, false),
                          adamw_scalars(config, learning_rate, clip_factor, step, true)};
  for (const Parameter& p : parameters.all()) {
    if (!p.adds_to.empty()) continue;
    update(kinds[p.decay], gradients.of(p), parameters.value(p.id),
           parameters.first_moments(p.placement).data() + p.offset,
           parameters.second_moments(p.placement).data() + p.offset, p.span());
  }
  Kokkos::fence("switchyard::optimizer::end");
}

}  // namespace switchyard::train
