// The rows of the token embedding on the CPU.
#include "model/embedding_rows.hpp"

namespace switchyard::model {
namespace {

/// Adds the rows of a segment to its first row, a chain from +0.
KOKKOS_INLINE_FUNCTION void sum_segment(const IndexPointers& index, Index segment, const Matrix<float>& dx) {
  const Index width = dx.extent(1), begin = index.segments[segment], end = index.segments[segment + 1];
  float* sum = &dx(index.positions[begin], 0);
  for (Index c = 0; c < width; ++c) sum[c] += 0.0f;
  for (Index p = begin + 1; p < end; ++p) {
    const float* row = &dx(index.positions[p], 0);
    for (Index c = 0; c < width; ++c) sum[c] += row[c];
  }
}

/// Where the sum of a segment stands.
KOKKOS_INLINE_FUNCTION float* sum_of(const IndexPointers& index, Index segment, const Matrix<float>& dx) {
  return &dx(index.positions[index.segments[segment]], 0);
}

void sum_all(const Queue& queue, const IndexPointers& index, const Matrix<float>& dx, float* gradient, Index stride) {
  const Index width = dx.extent(1);
  Kokkos::parallel_for(
      "switchyard::embedding::backward", queue.range(index.counts[0]), KOKKOS_LAMBDA(Index e) {
        const TokenIndex::Entry entry = index.entries[e], next = index.entries[e + 1];
        for (Index s = entry.segments; s < next.segments; ++s) sum_segment(index, s, dx);
        for (Index a = entry.adds; a < next.adds; ++a) {
          float* into = sum_of(index, index.into[a], dx);
          const float* from = sum_of(index, index.from[a], dx);
          for (Index c = 0; c < width; ++c) into[c] += from[c];
        }
        const float* sum = sum_of(index, entry.segments, dx);
        float* out = gradient + entry.node * stride + entry.token * width;
        for (Index c = 0; c < width; ++c) out[c] = sum[c];
      });
}

template <class T>
void gather(const Queue& queue, const Lines<T>& weight, const Vector<std::int32_t>& ids, const Matrix<float>& x) {
  const Index width = x.extent(1);
  Kokkos::parallel_for(
      "switchyard::embedding::forward", queue.range(x.extent(0)), KOKKOS_LAMBDA(Index i) {
        const T* row = weight.row(ids(i));
        for (Index c = 0; c < width; ++c) x(i, c) = load(row[c]);
      });
}

}  // namespace

void embed(const Queue& queue, const Tensor& weight, const Vector<std::int32_t>& ids, const Tensor& x) {
  by_element(weight.element, [&](auto zero) { gather(queue, weight.lines<decltype(zero)>(), ids, x.floats()); });
}

void sum_entries(const Queue& queue, const IndexPointers& index, const Tensor& dx, float* gradient, Index stride) {
  sum_all(queue, index, dx.floats(), gradient, stride);
}

}  // namespace switchyard::model
