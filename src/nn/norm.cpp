// RMSNorm: rows are whole iterations; the weight's gradient is one chain per grain and channel, those of a piece
// added in order, then the tree.
#include "nn/norm.hpp"

#include <algorithm>

#include "tensor/lanes.hpp"

namespace switchyard::nn {
namespace {

// Channels of one iteration of a column sum: vectors on the host, coalesced threads on a device. Each channel is a
// chain of its own, so the width changes no bit.
constexpr int tile = on_host ? 64 : 1;

/// One row of the forward pass; returns 1 / root mean square.
template <class T>
KOKKOS_INLINE_FUNCTION float normalise(const float* x, const float* weight, float epsilon, T* y, int width) {
  const float scale = 1.0f / Kokkos::sqrt(lane_dot(x, x, width) / static_cast<float>(width) + epsilon);
  for (int c = 0; c < width; ++c) store(x[c] * scale * weight[c], y[c]);
  return scale;
}

/// One row of the backward pass: dx += scale·(dy∘w) − x·scale³/d·Σ dy∘w∘x.
template <class T>
KOKKOS_INLINE_FUNCTION void denormalise(const float* x, const float* weight, float scale, const T* dy, float* dx,
                                        int width) {
  const float dot = lane_sum(width, [=](int c) { return load(dy[c]) * weight[c] * x[c]; });
  const float along = -(scale * scale * scale) / static_cast<float>(width) * dot;
  for (int c = 0; c < width; ++c) dx[c] += Kokkos::fma(x[c], along, load(dy[c]) * weight[c] * scale);
}

template <class T>
void forward_rows(const Matrix<float>& x, const float* weight, float epsilon, const Matrix<T>& y,
                  const Vector<float>& scale) {
  const int width = static_cast<int>(x.extent(1));
  Kokkos::parallel_for(
      "switchyard::norm::forward", Kokkos::RangePolicy<Device>(0, x.extent(0)),
      KOKKOS_LAMBDA(Index i) { scale(i) = normalise(&x(i, 0), weight, epsilon, &y(i, 0), width); });
}

template <class T>
void forward_rows_copy(const Matrix<float>& x, const float* weight, float epsilon, const Matrix<T>& y,
                       const Vector<float>& scale, const Matrix<float>& copy) {
  const int width = static_cast<int>(x.extent(1));
  Kokkos::parallel_for(
      "switchyard::norm::forward", Kokkos::RangePolicy<Device>(0, x.extent(0)), KOKKOS_LAMBDA(Index i) {
        scale(i) = normalise(&x(i, 0), weight, epsilon, &y(i, 0), width);
        for (int c = 0; c < width; ++c) copy(i, c) = x(i, c);
      });
}

template <class T>
void backward_rows(const Matrix<float>& x, const float* weight, const Vector<float>& scale, const Matrix<T>& dy,
                   const Matrix<float>& dx) {
  const int width = static_cast<int>(x.extent(1));
  Kokkos::parallel_for(
      "switchyard::norm::backward", Kokkos::RangePolicy<Device>(0, x.extent(0)),
      KOKKOS_LAMBDA(Index i) { denormalise(&x(i, 0), weight, scale(i), &dy(i, 0), &dx(i, 0), width); });
}

/// partial(g, c) = chain over the rows of grain g of dy·(x·scale). Grains have the same number of rows.
template <class T>
void weight_partials(const Matrix<float>& x, const Vector<float>& scale, const Matrix<T>& dy,
                     const Matrix<float>& partial, Index grain_rows) {
  const Index width = x.extent(1), tiles = (width + tile - 1) / tile, grains = partial.extent(0);
  Kokkos::parallel_for(
      "switchyard::norm::weight_gradient", Kokkos::RangePolicy<Device>(0, grains * tiles), KOKKOS_LAMBDA(Index it) {
        const Index grain = it / tiles, first = it % tiles * tile;
        const int n = static_cast<int>(width - first < tile ? width - first : tile);
        float sum[tile];
        for (int c = 0; c < n; ++c) sum[c] = 0.0f;
        for (Index i = grain * grain_rows; i < (grain + 1) * grain_rows; ++i) {
          const float* xi = &x(i, first);
          const T* dyi = &dy(i, first);
          const float r = scale(i);
          for (int c = 0; c < n; ++c) sum[c] = Kokkos::fma(load(dyi[c]), xi[c] * r, sum[c]);
        }
        for (int c = 0; c < n; ++c) partial(grain, first + c) = sum[c];
      });
}

/// The sum of grains [first, first + size): those of a piece, `in_piece` of them, in order, pieces along the tree.
void tree_node(const Matrix<float>& partial, Index first, Index size, Index in_piece, float* out) {
  Kokkos::parallel_for(
      "switchyard::norm::tree", Kokkos::RangePolicy<Device>(0, partial.extent(1)), KOKKOS_LAMBDA(Index c) {
        for (Index g = first; g < first + size; ++g)
          if (const Index piece = g - (g - first) % in_piece; piece < g) partial(piece, c) += partial(g, c);
        for (Index step = in_piece; step < size; step *= 2)
          for (Index g = first; g < first + size; g += 2 * step) partial(g, c) += partial(g + step, c);
        out[c] = partial(first, c);
      });
}

}  // namespace

void grain_tree(const Rows& rows, const Matrix<float>& partial, float* out, Index stride) {
  for (std::size_t t = 0; t < rows.nodes.size(); ++t)
    tree_node(partial, Index{rows.piece_grains} * (rows.nodes[t].first - rows.nodes[0].first),
              Index{rows.piece_grains} * rows.nodes[t].size, rows.piece_grains, out + t * stride);
}

Norm::Norm(const ParameterSet& parameters, const std::string& name, double epsilon)
    : parameters_(&parameters), id_(parameters.id(name)), epsilon_(static_cast<float>(epsilon)) {}

template <class T>
void Norm::forward(const Rows& rows, const Matrix<float>& x, const Matrix<T>& y, NormPass& pass,
                   const Matrix<float>& copy) const {
  pass.x = x;
  if (rows.count == 0) return;
  const float* weight = parameters_->value(id_);
  if (copy.data())
    forward_rows_copy(x, weight, epsilon_, y, pass.scale, copy);
  else
    forward_rows(x, weight, epsilon_, y, pass.scale);
}

template <class T>
void Norm::backward(const Rows& rows, const Matrix<T>& dy, const Matrix<float>& dx, const NormPass& pass,
                    const Matrix<float>& partial) const {
  if (rows.count == 0) return;
  weight_partials(pass.x, pass.scale, dy, partial, rows.grains[1]);
  grain_tree(rows, partial, parameters_->gradient(id_), parameters_->gradient_stride(id_));
  backward_rows(pass.x, parameters_->value(id_), pass.scale, dy, dx);
}

#define SWITCHYARD_NORM(T)                                                                                          \
  template void Norm::forward(const Rows&, const Matrix<float>&, const Matrix<T>&, NormPass&, const Matrix<float>&) \
      const;                                                                                                        \
  template void Norm::backward(const Rows&, const Matrix<T>&, const Matrix<float>&, const NormPass&,                \
                               const Matrix<float>&) const;
SWITCHYARD_NORM(float)
SWITCHYARD_NORM(Bf16)
#undef SWITCHYARD_NORM

}  // namespace switchyard::nn
