// Rotary position embedding.
#include "model/attention/rope.hpp"

#include <cmath>

namespace switchyard::model {

Rope::Rope(Arena& arena, const Config& config)
    : rotation_{arena.matrix<float>(config.model.context, config.head_dim() / 2),
                arena.matrix<float>(config.model.context, config.head_dim() / 2)} {
  if (!arena.places()) return;
  const int half = config.head_dim() / 2, context = config.model.context;
  const auto cosine = Kokkos::create_mirror_view(rotation_.cosine), sine = Kokkos::create_mirror_view(rotation_.sine);
  for (int t = 0; t < context; ++t)
    for (int i = 0; i < half; ++i) {
      const double angle = t * std::pow(config.model.rope_base, -static_cast<double>(i) / half);
      cosine(t, i) = static_cast<float>(std::cos(angle));
      sine(t, i) = static_cast<float>(std::sin(angle));
    }
  Kokkos::deep_copy(rotation_.cosine, cosine);
  Kokkos::deep_copy(rotation_.sine, sine);
}

}  // namespace switchyard::model
