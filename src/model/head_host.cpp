// One pass over a row of logits on the CPU, while the row is in the first-level cache.
#include <algorithm>

#include "model/head.hpp"
#include "tensor/lanes.hpp"
#include "tensor/math.hpp"

namespace switchyard::model {
namespace {

struct Maximum {
  float value;
  int place;
};

float largest(const float* logits, int n) {
  return lane_max(n, [=](int i) { return logits[i]; });
}

/// Largest logit and its first place; only the part that holds it is searched.
Maximum find_maximum(const float* logits, int n) {
  constexpr int part = 256;
  float best = largest(logits, std::min(part, n));
  int start = 0;
  for (int first = part; first < n; first += part) {
    const float here = largest(logits + first, std::min(part, n - first));
    if (here > best) best = here, start = first;
  }
  const int end = std::min(start + part, n);
  const auto place = static_cast<int>(std::find(logits + start, logits + end, best) - logits);
  return {best, place < end ? place : 0};
}

/// Cross-entropy of the row of `logits`; exponentials go to `out`, which may be the same, and in training become
/// token_weight·(p − onehot) + z_weight·2·log_sum·p.
void finish_row(const HeadRows& rows, Index i, bool train, const float* logits, float* out) {
  const int n = static_cast<int>(rows.logits.width);
  const auto [shift, predicted] = find_maximum(logits, n);
  const int target = rows.targets(i);
  const float of_target = logits[target];
  const float sum = lane_sum(n, [=](int c) { return out[c] = fast_exp(logits[c] - shift); });
  const float log_sum = shift + fast_log(sum);
  rows.predicted(i) = predicted;
  rows.log_sum(i) = log_sum;
  rows.loss(i) = log_sum - of_target;
  if (!train) return;
  const float factor = (rows.token_weight + 2.0f * rows.z_weight * log_sum) / sum;
  for (int c = 0; c < n; ++c) out[c] *= factor;
  out[target] -= rows.token_weight;
}

/// The same where rows are not of floats: worked as floats in `memory`, rounded once.
template <class T>
void finish_rounded(const HeadRows& rows, Index i, bool train, float* memory) {
  const Index n = rows.logits.width;
  T* row = rows.logits.lines<T>().row(i);
  for (Index c = 0; c < n; ++c) memory[c] = load(row[c]);
  finish_row(rows, i, train, memory, memory);
  for (Index c = 0; train && c < n; ++c) store(memory[c], row[c]);
}

}  // namespace

Index head_memory(Index n, Index vocabulary, int threads) { return n > 0 ? threads * vocabulary : 0; }

void head_losses(const Queue& queue, const HeadRows& rows, moe::Pass pass) {
  const bool train = pass == moe::Pass::train, floats = rows.logits.element == Element::f32;
  const Kokkos::Experimental::UniqueToken<Device> token;
  const Index vocabulary = rows.logits.width;
  Kokkos::parallel_for(
      "switchyard::head::losses", queue.range(rows.logits.rows), KOKKOS_LAMBDA(Index i) {
        float* logits = floats ? rows.logits.lines<float>().row(i) : nullptr;
        if (train && floats) return finish_row(rows, i, true, logits, logits);
        const int thread = token.acquire();
        float* memory = rows.memory.data() + thread * vocabulary;
        if (floats)
          finish_row(rows, i, false, logits, memory);
        else
          finish_rounded<Bf16>(rows, i, train, memory);
        token.release(thread);
      });
}

void sum_losses(const Queue& queue, const nn::Rows& rows, const HeadPass& pass) {
  Kokkos::parallel_for("switchyard::head::grain_losses", queue.range(rows.grain_count()), [&](Index g) {
    double loss = 0.0, squares = 0.0;
    for (Index i = rows.grains[g]; i < rows.grains[g + 1]; ++i) {
      loss += pass.rows.loss(i);
      squares += static_cast<double>(pass.rows.log_sum(i)) * pass.rows.log_sum(i);
    }
    pass.sums.device()(2 * g) = loss, pass.sums.device()(2 * g + 1) = squares;
  });
}

}  // namespace switchyard::model
