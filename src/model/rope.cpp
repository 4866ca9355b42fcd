// Rotary position embedding.
#include "model/rope.hpp"

#include <cmath>

namespace switchyard::model {
namespace {

/// Turns one head of one row.
template <class T>
KOKKOS_INLINE_FUNCTION void turn(T* x, const float* cosine, const float* sine, float sign, int half) {
  for (int i = 0; i < half; ++i) {
    const float a = load(x[i]), b = load(x[i + half]), c = cosine[i], s = sign * sine[i];
    store(Kokkos::fma(-b, s, a * c), x[i]);
    store(Kokkos::fma(a, s, b * c), x[i + half]);
  }
}

template <class T>
void turn_rows(const Matrix<T>& x, const Matrix<float>& cosine, const Matrix<float>& sine, float sign) {
  const int half = static_cast<int>(cosine.extent(1));
  const Index context = cosine.extent(0), heads = x.extent(1) / (2 * half);
  Kokkos::parallel_for(
      "switchyard::rope::turn", Kokkos::RangePolicy<Device>(0, x.extent(0) * heads), KOKKOS_LAMBDA(Index it) {
        const Index i = it / heads, head = it % heads, t = i % context;
        turn(&x(i, head * 2 * half), &cosine(t, 0), &sine(t, 0), sign, half);
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

template <class T>
void Rope::forward(const nn::Rows& rows, const Matrix<T>& x) const {
  if (rows.count > 0) turn_rows(x, cosine_, sine_, 1.0f);
}

template <class T>
void Rope::backward(const nn::Rows& rows, const Matrix<T>& x) const {
  if (rows.count > 0) turn_rows(x, cosine_, sine_, -1.0f);
}

template void Rope::forward(const nn::Rows&, const Matrix<float>&) const;
template void Rope::forward(const nn::Rows&, const Matrix<Bf16>&) const;
template void Rope::backward(const nn::Rows&, const Matrix<float>&) const;
template void Rope::backward(const nn::Rows&, const Matrix<Bf16>&) const;

}  // namespace switchyard::model
