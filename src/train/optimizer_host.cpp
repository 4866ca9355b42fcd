// The update on the CPU, one parameter after another.
#include "train/optimizer.hpp"

namespace switchyard::train {
namespace {

constexpr Index chunk = 4096;  // elements of one iteration: enough for vectors and few forks

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

Optimizer::Optimizer(const ParameterSet& parameters) : parameters_(&parameters) {}

void Optimizer::update(const Queue& queue, const Gradients& gradients, const TrainConfig& config, const Update& update,
                       const NormState* norm) const {
  expect(norm == nullptr, "a norm that the host has");
  const ParameterSet& parameters = *parameters_;
  const KindScalars kinds = kind_scalars(config, update);
  for (const Parameter& p : parameters.all()) {
    if (!p.updated()) continue;
    const float* g = gradients.slab[static_cast<int>(p.placement)].data();
    float *values = parameters.values(p.placement).data(), *first = parameters.first_moments(p.placement).data(),
          *second = parameters.second_moments(p.placement).data();
    for (const Piece& piece : parameters.shard(p.placement)) {
      const Range mine = common(piece.elements, {p.offset, p.offset + p.span()});
      const Index at = piece.at + mine.first - piece.elements.first;
      if (mine.size() > 0)
        update_all(queue, kinds[kind_of(p)], {g + mine.first, values + mine.first, first + at, second + at},
                   mine.size());
    }
  }
  if (!parameters.sharded()) parameters.round_weights(queue);
}

void Optimizer::take_scalars(const Queue& /*queue*/, const TrainConfig& /*config*/, const Update& /*update*/) const {
  expect(false, "a device");
}

void Optimizer::launch(const Queue& /*queue*/, const Gradients& /*gradients*/, const NormState* /*norm*/) const {
  expect(false, "a device");
}

}  // namespace switchyard::train
