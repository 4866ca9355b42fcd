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

struct NormWeight {
  const float* of_channel;
  float epsilon;
};

/// One row of the forward pass; returns 1 / root mean square.
template <class T>
KOKKOS_INLINE_FUNCTION float normalise(const float* x, const NormWeight& weight, T* y, int width) {
  const float scale = 1.0f / Kokkos::sqrt(lane_dot(x, x, width) / static_cast<float>(width) + weight.epsilon);
  for (int c = 0; c < width; ++c) store(x[c] * scale * weight.of_channel[c], y[c]);
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
void forward_rows(const Queue& queue, const Matrix<float>& x, const NormWeight& weight, const Lines<T>& y,
                  const Vector<float>& scale) {
  const int width = static_cast<int>(x.extent(1));
  Kokkos::parallel_for(
      "switchyard::norm::forward", queue.range(x.extent(0)),
      KOKKOS_LAMBDA(Index i) { scale(i) = normalise(&x(i, 0), weight, y.row(i), width); });
}

template <class T>
void forward_rows_copy(const Queue& queue, const Matrix<float>& x, const NormWeight& weight, const Lines<T>& y,
                       const Vector<float>& scale, const Matrix<float>& copy) {
  const int width = static_cast<int>(x.extent(1));
  Kokkos::parallel_for(
      "switchyard::norm::forward", queue.range(x.extent(0)), KOKKOS_LAMBDA(Index i) {
        scale(i) = normalise(&x(i, 0), weight, y.row(i), width);
        for (int c = 0; c < width; ++c) copy(i, c) = x(i, c);
      });
}

/// What the backward pass of a norm reads of its forward pass.
struct NormRows {
  Matrix<float> x;
  const float* weight;
  Vector<float> scale;
};

template <class T>
void backward_rows(const Queue& queue, const NormRows& norm, const Lines<T>& dy, const Matrix<float>& dx) {
  const int width = static_cast<int>(dx.extent(1));
  Kokkos::parallel_for(
      "switchyard::norm::backward", queue.range(dx.extent(0)),
      KOKKOS_LAMBDA(Index i) { denormalise(&norm.x(i, 0), norm.weight, norm.scale(i), dy.row(i), &dx(i, 0), width); });
}

/// The same, and the sum rounded while it is there.
template <class T, class R>
void backward_rows(const Queue& queue, const NormRows& norm, const Lines<T>& dy, const Matrix<float>& dx,
                   const Lines<R>& rounded) {
  const int width = static_cast<int>(dx.extent(1));
  Kokkos::parallel_for(
      "switchyard::norm::backward", queue.range(dx.extent(0)), KOKKOS_LAMBDA(Index i) {
        denormalise(&norm.x(i, 0), norm.weight, norm.scale(i), dy.row(i), &dx(i, 0), width);
        for (int c = 0; c < width; ++c) store(dx(i, c), rounded(i, c));
      });
}

/// partial(g, c) = chain over the rows of grain g of dy·(x·scale). Grains have the same number of rows.
template <class T>
void weight_partials(const Queue& queue, const Matrix<float>& x, const Vector<float>& scale, const Lines<T>& dy,
                     const Matrix<float>& partial, Index grain_rows) {
  const Index width = x.extent(1), tiles = (width + tile - 1) / tile, grains = partial.extent(0);
  Kokkos::parallel_for(
      "switchyard::norm::weight_gradient", queue.range(grains * tiles), KOKKOS_LAMBDA(Index it) {
        const Index grain = it / tiles, first = it % tiles * tile;
        const int n = static_cast<int>(width - first < tile ? width - first : tile);
        float sum[tile];
        for (int c = 0; c < n; ++c) sum[c] = 0.0f;
        for (Index i = grain * grain_rows; i < (grain + 1) * grain_rows; ++i) {
          const float* xi = &x(i, first);
          const T* dyi = dy.row(i) + first;
          const float r = scale(i);
          for (int c = 0; c < n; ++c) sum[c] = Kokkos::fma(load(dyi[c]), xi[c] * r, sum[c]);
        }
        for (int c = 0; c < n; ++c) partial(grain, first + c) = sum[c];
      });
}

/// The sum of grains [first, first + size): those of a piece, `in_piece` of them, in order, pieces along the tree.
void tree_node(const Queue& queue, const Matrix<float>& partial, const Range& grains, Index in_piece, float* out) {
  const Index first = grains.first, last = grains.last;
  Kokkos::parallel_for(
      "switchyard::norm::tree", queue.range(partial.extent(1)), KOKKOS_LAMBDA(Index c) {
        for (Index g = first; g < last; ++g)
          if (const Index piece = g - (g - first) % in_piece; piece < g) partial(piece, c) += partial(g, c);
        for (Index step = in_piece; step < last - first; step *= 2)
          for (Index g = first; g < last; g += 2 * step) partial(g, c) += partial(g + step, c);
        out[c] = partial(first, c);
      });
}

}  // namespace

void grain_tree(const Queue& queue, const Rows& rows, const Matrix<float>& partial, float* out, Index stride) {
  for (std::size_t t = 0; t < rows.nodes.size(); ++t) {
    const Index first = Index{rows.piece_grains} * (rows.nodes[t].first - rows.nodes[0].first);
    tree_node(queue, partial, {first, first + Index{rows.piece_grains} * rows.nodes[t].size}, rows.piece_grains,
              out + t * stride);
  }
}

Norm::Norm(const ParameterSet& parameters, const std::string& name, double epsilon)
    : parameters_(&parameters), id_(parameters.id(name)), epsilon_(static_cast<float>(epsilon)) {}

void Norm::forward(const Queue& queue, const Tensor& x, const Tensor& y, NormPass& pass, const Tensor& copy) const {
  pass.x = x;
  if (x.rows == 0) return;
  const NormWeight weight{parameters_->value(id_), epsilon_};
  by_element(y.element, [&](auto zero) {
    const auto to = y.lines<decltype(zero)>();
    if (copy)
      forward_rows_copy(queue, x.floats(), weight, to, pass.scale, copy.floats());
    else
      forward_rows(queue, x.floats(), weight, to, pass.scale);
  });
}

void Norm::backward(const Queue& queue, const Rows& rows, const Tensor& dy, const StreamGradient& dx,
                    const NormPass& pass, const Matrix<float>& partial) const {
  if (rows.count == 0) return;
  const NormRows norm{pass.x.floats(), parameters_->value(id_), pass.scale};
  by_element(dy.element, [&](auto zero) {
    const auto from = dy.lines<decltype(zero)>();
    weight_partials(queue, norm.x, norm.scale, from, partial, rows.grains[1]);
    if (dx.rounded.element == Element::f32) return backward_rows(queue, norm, from, dx.sum.floats());
    backward_rows(queue, norm, from, dx.sum.floats(), dx.rounded.lines<Bf16>());
  });
  const Index stride = parameters_->gradient_stride(id_);
  grain_tree(queue, rows, partial, parameters_->gradient(id_) + rows.sums.slot * stride, stride);
  parameters_->take_steps(queue, id_, rows.sums.steps);
}

}  // namespace switchyard::nn
