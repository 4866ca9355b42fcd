#include "train/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace switchyard::train {
namespace {

/// Elements of one iteration: enough for vectors and few forks on a host, one a thread on a device.
constexpr Index chunk = on_host ? 4096 : 1;

KOKKOS_INLINE_FUNCTION void update_run(const AdamW& a, const float* __restrict__ g, float* __restrict__ p,
                                       float* __restrict__ m, float* __restrict__ v, Index n) {
  for (Index i = 0; i < n; ++i) adamw_element(a, g[i], p[i], m[i], v[i]);
}

/// Elements of one parameter: gradients, values, first and second moments.
struct State {
  const float* g;
  float *p, *m, *v;
};

void update_all(const Queue& queue, const AdamW& a, const State& s, Index size) {
  Kokkos::parallel_for(
      "switchyard::optimizer::adamw", queue.range((size + chunk - 1) / chunk), KOKKOS_LAMBDA(Index c) {
        const Index first = c * chunk;
        const Index n = size - first < chunk ? size - first : chunk;
        update_run(a, s.g + first, s.p + first, s.m + first, s.v + first, n);
      });
}

}  // namespace

AdamW adamw_scalars(const TrainConfig& c, const Update& update, bool decay) {
  const double correction1 = 1.0 - std::pow(c.beta1, static_cast<double>(update.step));
  const double correction2 = 1.0 - std::pow(c.beta2, static_cast<double>(update.step));
  return {.clip = static_cast<float>(update.clip_factor),
          .keep = static_cast<float>(decay ? 1.0 - update.learning_rate * c.weight_decay : 1.0),
          .beta2 = static_cast<float>(c.beta2),
          .one_minus_beta1 = static_cast<float>(1.0 - c.beta1),
          .one_minus_beta2 = static_cast<float>(1.0 - c.beta2),
          .step_size = static_cast<float>(update.learning_rate / correction1),
          .root_scale = static_cast<float>(1.0 / std::sqrt(correction2)),
          .epsilon = std::max(static_cast<float>(c.epsilon), std::numeric_limits<float>::denorm_min())};
}

void adamw(const Queue& queue, ParameterSet& parameters, const Gradients& gradients, const TrainConfig& config,
           const Update& update) {
  const AdamW kinds[2] = {adamw_scalars(config, update, false), adamw_scalars(config, update, true)};
  for (const Parameter& p : parameters.all()) {
    if (!p.adds_to.empty()) continue;
    const float* g = gradients.slab[static_cast<int>(p.placement)].data();
    float *values = parameters.values(p.placement).data(), *first = parameters.first_moments(p.placement).data(),
          *second = parameters.second_moments(p.placement).data();
    for (const Piece& piece : parameters.shard(p.placement)) {
      const Range mine = common(piece.elements, {p.offset, p.offset + p.span()});
      const Index at = piece.at + mine.first - piece.elements.first;
      if (mine.size() > 0)
        update_all(queue, kinds[p.decay], {g + mine.first, values + mine.first, first + at, second + at}, mine.size());
    }
  }
  if (!parameters.sharded()) parameters.round_weights(queue);
}

}  // namespace switchyard::train
