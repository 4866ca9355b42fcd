// RMSNorm on the CPU: rows are whole iterations; the weight's gradient is one chain per grain and channel, those of a
// piece added in order, then the tree.
#include <algorithm>

#include "nn/norm_rows.hpp"
#include "tensor/lanes.hpp"

namespace switchyard::nn {
namespace {

// Channels of one iteration of a column sum. Each channel is a chain of its own, so their number changes no bit.
constexpr int tile = 64;

struct NormWeight {
  const float* of_channel;
  float epsilon;
};

/// One row of the forward pass; returns 1 / root mean square.
template <class T>
KOKKOS_INLINE_FUNCTION float normalise_row(const float* x, const NormWeight& weight, T* y, int width) {
  const float scale = 1.0f / Kokkos::sqrt(lane_dot(x, x, width) / static_cast<float>(width) + weight.epsilon);
  for (int c = 0; c < width; ++c) store(x[c] * scale * weight.of_channel[c], y[c]);
  return scale;
}

/// One row of the backward pass: dx += scale·(dy∘w) − x·scale³/d·Σ dy∘w∘x.
template <class T>
KOKKOS_INLINE_FUNCTION void denormalise_row(const float* x, const float* weight, float scale, const T* dy, float* dx,
                                            int width) {
  const float dot = lane_sum(width, [=](int c) { return load(dy[c]) * weight[c] * x[c]; });
  const float along = -(scale * scale * scale) / static_cast<float>(width) * dot;
  for (int c = 0; c < width; ++c) dx[c] += Kokkos::fma(x[c], along, load(dy[c]) * weight[c] * scale);
}

template <class T>
void forward_rows(const Queue& queue, const Matrix<float>& x, const NormWeight& weight, const Lines<T>& y,
                  float* scale) {
  const int width = static_cast<int>(x.extent(1));
  Kokkos::parallel_for(
      "switchyard::norm::forward", queue.range(x.extent(0)),
      KOKKOS_LAMBDA(Index i) { scale[i] = normalise_row(&x(i, 0), weight, y.row(i), width); });
}

template <class T>
void forward_rows_copy(const Queue& queue, const Matrix<float>& x, const NormWeight& weight, const Lines<T>& y,
                       float* scale, const Matrix<float>& copy) {
  const int width = static_cast<int>(x.extent(1));
  Kokkos::parallel_for(
      "switchyard::norm::forward", queue.range(x.extent(0)), KOKKOS_LAMBDA(Index i) {
        scale[i] = normalise_row(&x(i, 0), weight, y.row(i), width);
        for (int c = 0; c < width; ++c) copy(i, c) = x(i, c);
      });
}

template <class T>
void backward_rows(const Queue& queue, const Matrix<float>& x, const float* weight, const float* scale,
                   const Lines<T>& dy, const Matrix<float>& dx) {
  const int width = static_cast<int>(x.extent(1));
  Kokkos::parallel_for(
      "switchyard::norm::backward", queue.range(x.extent(0)),
      KOKKOS_LAMBDA(Index i) { denormalise_row(&x(i, 0), weight, scale[i], dy.row(i), &dx(i, 0), width); });
}

/// partial(g, c) = chain over the rows of grain g of dy·(x·scale). Grains have the same number of rows.
template <class T>
void weight_partials(const Queue& queue, const Matrix<float>& x, const float* scale, const Lines<T>& dy,
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
          const float r = scale[i];
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

template <class T>
void round_rows(const Queue& queue, const Matrix<float>& dx, const Lines<T>& to) {
  const Index width = dx.extent(1);
  Kokkos::parallel_for(
      "switchyard::norm::round", queue.range(dx.extent(0)), KOKKOS_LAMBDA(Index i) {
        for (Index c = 0; c < width; ++c) store(dx(i, c), to(i, c));
      });
}

}  // namespace

Index norm_partials(const Rows& rows, Index /*width*/) { return rows.grain_count(); }

void normalise(const Queue& queue, const NormForward& rows) {
  const NormWeight weight{rows.weight, rows.epsilon};
  by_element(rows.y.element, [&](auto zero) {
    const auto to = rows.y.lines<decltype(zero)>();
    if (rows.copy)
      forward_rows_copy(queue, rows.x.floats(), weight, to, rows.scale, rows.copy.floats());
    else
      forward_rows(queue, rows.x.floats(), weight, to, rows.scale);
  });
}

void denormalise(const Queue& queue, const Rows& lane, const NormBackward& rows) {
  const Matrix<float> x = rows.x.floats(), dx = rows.d.sum.floats();
  by_element(rows.dy.element, [&](auto zero) {
    const auto from = rows.dy.lines<decltype(zero)>();
    weight_partials(queue, x, rows.scale, from, rows.partial, lane.grains[1]);
    backward_rows(queue, x, rows.weight, rows.scale, from, dx);
  });
  if (rows.d.rounded.element != Element::f32)
    by_element(rows.d.rounded.element,
               [&](auto zero) { round_rows(queue, dx, rows.d.rounded.lines<decltype(zero)>()); });
}

void sum_partials(const Queue& queue, const Rows& lane, const Matrix<float>& partial, const NormSums& sums) {
  for (std::size_t t = 0; t < lane.nodes.size(); ++t) {
    const Index first = Index{lane.piece_grains} * (lane.nodes[t].first - lane.nodes[0].first);
    tree_node(queue, partial, {first, first + Index{lane.piece_grains} * lane.nodes[t].size}, lane.piece_grains,
              sums.data + t * sums.stride);
  }
}

}  // namespace switchyard::nn
