// Rows of logits on a GPU: 32 threads a row read neighbouring columns; what they find is merged in a fixed order.
#include <utility>

#include "model/head.hpp"
#include "tensor/math.hpp"

namespace switchyard::model {
namespace {

constexpr int parts = 32;  // part p of a row is columns p, p + 32, …

struct Partials {
  Matrix<float> maximum, sum;   // (N, parts)
  Matrix<std::int32_t> place;   // (N, parts)
  Vector<float> shift, factor;  // (N)
};

void find_maxima(const Queue& queue, const HeadRows& rows, const Partials& partial) {
  const int n = static_cast<int>(rows.logits.extent(1));
  Kokkos::parallel_for(
      "switchyard::head::maxima", queue.range(rows.logits.extent(0) * parts), KOKKOS_LAMBDA(Index it) {
        const Index i = it / parts, p = it % parts;
        float best = -INFINITY;
        int place = n;
        for (int c = static_cast<int>(p); c < n; c += parts)
          if (rows.logits(i, c) > best) best = rows.logits(i, c), place = c;
        partial.maximum(i, p) = best;
        partial.place(i, p) = place;
      });
}

void merge_maxima(const Queue& queue, const HeadRows& rows, const Partials& partial) {
  Kokkos::parallel_for(
      "switchyard::head::maximum", queue.range(rows.logits.extent(0)), KOKKOS_LAMBDA(Index i) {
        float best = partial.maximum(i, 0);
        int place = partial.place(i, 0);
        for (int p = 1; p < parts; ++p) {
          const float value = partial.maximum(i, p);
          const int at = partial.place(i, p);
          if (value > best || (value == best && at < place)) best = value, place = at;
        }
        partial.shift(i) = best;
        rows.predicted(i) = place < static_cast<int>(rows.logits.extent(1)) ? place : 0;
      });
}

void sum_exponentials(const Queue& queue, const HeadRows& rows, const Partials& partial) {
  const int n = static_cast<int>(rows.logits.extent(1));
  Kokkos::parallel_for(
      "switchyard::head::sums", queue.range(rows.logits.extent(0) * parts), KOKKOS_LAMBDA(Index it) {
        const Index i = it / parts, p = it % parts;
        float sum = 0.0f;
        for (int c = static_cast<int>(p); c < n; c += parts) sum += fast_exp(rows.logits(i, c) - partial.shift(i));
        partial.sum(i, p) = sum;
      });
}

void finish_rows(const Queue& queue, const HeadRows& rows, const Partials& partial) {
  Kokkos::parallel_for(
      "switchyard::head::losses", queue.range(rows.logits.extent(0)), KOKKOS_LAMBDA(Index i) {
        for (int half = parts / 2; half > 0; half /= 2)
          for (int p = 0; p < half; ++p) partial.sum(i, p) += partial.sum(i, p + half);
        const float sum = partial.sum(i, 0), log_sum = partial.shift(i) + fast_log(sum);
        rows.log_sum(i) = log_sum;
        rows.loss(i) = log_sum - rows.logits(i, rows.targets(i));
        partial.factor(i) = (rows.token_weight + 2.0f * rows.z_weight * log_sum) / sum;
      });
}

void write_gradient(const Queue& queue, const HeadRows& rows, const Partials& partial) {
  const Index n = rows.logits.extent(1);
  Kokkos::parallel_for(
      "switchyard::head::gradient", queue.range(rows.logits.size()), KOKKOS_LAMBDA(Index it) {
        const Index i = it / n, c = it % n;
        const float of_row = fast_exp(rows.logits(i, c) - partial.shift(i)) * partial.factor(i);
        rows.logits(i, c) = c == rows.targets(i) ? of_row - rows.token_weight : of_row;
      });
}

}  // namespace

Index head_memory(Index n, Index /*vocabulary*/, int /*threads*/) { return n * (3 * parts + 2); }

void head_losses(const Queue& queue, const HeadRows& rows, moe::Pass pass) {
  const Index n = rows.logits.extent(0);
  float* at = rows.memory.data();
  const auto take = [&at](Index floats) { return std::exchange(at, at + floats); };
  float *a = take(n * parts), *b = take(n * parts), *c = take(n * parts), *d = take(n), *e = take(n);
  const Partials partial{Matrix<float>(a, n, parts), Matrix<float>(b, n, parts),
                         Matrix<std::int32_t>(reinterpret_cast<std::int32_t*>(c), n, parts), Vector<float>(d, n),
                         Vector<float>(e, n)};
  find_maxima(queue, rows, partial);
  merge_maxima(queue, rows, partial);
  sum_exponentials(queue, rows, partial);
  finish_rows(queue, rows, partial);
  if (pass == moe::Pass::train) write_gradient(queue, rows, partial);
}

}  // namespace switchyard::model
