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

/// Cross-entropy of a row; in training logits become token_weight·(p − onehot) + z_weight·2·log_sum·p.
void finish_row(const HeadRows& rows, Index i, bool train, float* exponentials) {
  const int n = static_cast<int>(rows.logits.extent(1));
  float* logits = &rows.logits(i, 0);
  const auto [shift, predicted] = find_maximum(logits, n);
  const int target = rows.targets(i);
  const float of_target = logits[target];
  float* out = train ? logits : exponentials;
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

}  // namespace

Index head_memory(Index n, Index vocabulary, int threads) { return n > 0 ? threads * vocabulary : 0; }

void head_losses(const Queue& queue, const HeadRows& rows, moe::Pass pass) {
  const bool train = pass == moe::Pass::train;
  const Kokkos::Experimental::UniqueToken<Device> token;
  const Index vocabulary = rows.logits.extent(1);
  Kokkos::parallel_for(
      "switchyard::head::losses", queue.range(rows.logits.extent(0)), KOKKOS_LAMBDA(Index i) {
        if (train) return finish_row(rows, i, true, nullptr);
        const int thread = token.acquire();
        finish_row(rows, i, false, rows.memory.data() + thread * vocabulary);
        token.release(thread);
      });
}

}  // namespace switchyard::model
