// Rotary position embedding.
#include "model/attention/rope.hpp"

#include <cmath>

namespace switchyard::model {
namespace {

/// Turns one head of one row.
template <class T>
KOKKOS_INLINE_FUNCTION void turn_head(T* x, const float* cosine, const float* sine, float sign, int half) {
  for (int i = 0; i < half; ++i) {
    const float a = load(x[i]), b = load(x[i + half]), c = cosine[i], s = sign * sine[i];
    store(Kokkos::fma(-b, s, a * c), x[i]);
    store(Kokkos::fma(a, s, b * c), x[i + half]);
  }
}

/// Cosines and sines (T, D/2) of an angle in a direction.
struct Angles {
  Matrix<float> cosine, sine;
  float sign;
};

template <class T>
void turn_rows(const Queue& queue, const Lines<T>& x, Index rows, Index width, const Angles& by) {
  const int half = static_cast<int>(by.cosine.extent(1));
  const Index context = by.cosine.extent(0), heads = width / (2 * half);
  Kokkos::parallel_for(
      "switchyard::rope::turn", queue.range(rows * heads), KOKKOS_LAMBDA(Index it) {
        const Index i = it / heads, head = it % heads, t = i % context;
        turn_head(x.row(i) + head * 2 * half, &by.cosine(t, 0), &by.sine(t, 0), by.sign, half);
      });
}

}  // namespace

Rope::Rope(Arena& arena, const Config& config)
    : cosine_(arena.matrix<float>(config.model.context, config.head_dim() / 2)),
      sine_(arena.matrix<float>(config.model.context, config.head_dim() / 2)) {
  if (!arena.places()) return;
  const int half = config.head_dim() / 2, context = config.model.context;
  const auto cosine = Kokkos::create_mirror_view(cosine_), sine = Kokkos::create_mirror_view(sine_);
  for (int t = 0; t < context; ++t)
    for (int i = 0; i < half; ++i) {
      const double angle = t * std::pow(config.model.rope_base, -static_cast<double>(i) / half);
      cosine(t, i) = static_cast<float>(std::cos(angle));
      sine(t, i) = static_cast<float>(std::sin(angle));
    }
  Kokkos::deep_copy(cosine_, cosine);
  Kokkos::deep_copy(sine_, sine);
}

void Rope::turn(const Queue& queue, const Tensor& x, float sign) const {
  by_element(x.element, [&](auto zero) {
    turn_rows(queue, x.lines<decltype(zero)>(), x.rows, x.width, {cosine_, sine_, sign});
  });
}

}  // namespace switchyard::model
