// What a warp makes of a token's row of logits: scores, selection and combine weights.
#pragma once
#include "moe/routers/warp_row_cuda.hpp"

namespace switchyard::moe::warps {

constexpr float least_sum = 1e-20f;  ///< tiny in sigmoid_scores.cpp

/// What a launch reads and writes. Rows are of shape.experts.
struct Routed {
  RouterShape shape;
  Scoring scoring;
  bool routes;  // false: scores alone
  unsigned tokens;
  const float *logits, *order, *bias;  // `order` is what select ranks by; route ranks by what it holds
  float *score, *inverse, *lse, *entropy, *margin;
  const std::int32_t* first;
  std::int32_t* expert;
  float* weight;
  std::uint8_t* kept;
};

/// 1 / (1 + exp(−x)) that keeps relative precision at both ends.
__device__ inline float logistic(float x) {
  const float z = fast_exp(-magnitude(x)), larger = 1.0f / (1.0f + z);
  return x < 0.0f ? z * larger : larger;
}

struct RowResult {
  float inverse, lse, entropy;
};

template <class S>
__device__ RowResult sigmoid_row(int n, bool wants_lse, const float (&logit)[S::slots], float (&score)[S::slots]) {
  float lse = 0.0f;
  if (wants_lse) {
    const float top = max_row<S>(logit);
    lse = top + fast_log(sum_row<S>([&](int i) { return S::expert(i) < n ? fast_exp(logit[i] - top) : 0.0f; }));
  }
#pragma unroll
  for (int i = 0; i < S::slots; ++i) score[i] = S::expert(i) < n ? logistic(logit[i]) : 0.0f;
  const float sum = sum_row<S>([&](int i) { return score[i]; }) + least_sum;
  const float weighted = sum_row<S>([&](int i) { return score[i] * fast_log(score[i] > 1e-37f ? score[i] : 1e-37f); });
  const float inverse = 1.0f / sum;
  return {inverse, lse, fast_log(sum) - weighted * inverse};
}

template <class S>
__device__ RowResult softmax_row(int n, const float (&logit)[S::slots], float (&score)[S::slots]) {
  const float top = max_row<S>(logit);
#pragma unroll
  for (int i = 0; i < S::slots; ++i) score[i] = S::expert(i) < n ? fast_exp(logit[i] - top) : 0.0f;
  const float sum = sum_row<S>([&](int i) { return score[i]; });
  const float lse = top + fast_log(sum), inverse = 1.0f / sum;
#pragma unroll
  for (int i = 0; i < S::slots; ++i) score[i] *= inverse;
  return {1.0f, lse, sum_row<S>([&](int i) { return S::expert(i) < n ? score[i] * (lse - logit[i]) : 0.0f; })};
}

/// Best scores of a group that are added to its score.
__device__ inline int group_share(const RouterShape& s) {
  if (s.group_score == GroupScore::max) return 1;
  return s.group_score == GroupScore::top2_sum ? 2 : s.top_k / s.groups_kept;
}

/// Key of the sum of the best values of a group, in falling order.
template <class S>
__device__ std::int32_t group_key(const RouterShape& s, const std::int32_t (&key)[S::slots],
                                  const float (&value)[S::slots], int g) {
  const int size = s.experts / s.groups, share = group_share(s);
  Ranked taken = before_all();
  float sum = 0.0f;
  for (int j = 0; j < share; ++j) {
    taken = next_best<S>(key, g * size, (g + 1) * size, taken);
    if (taken.id < 0) break;
    sum += pick<S>(value, taken.id);
  }
  return key_of(sum);
}

/// The groups that are kept, by bits: group score descending, then group ascending. Lane l has groups l and l + 32.
template <class S>
__device__ std::uint64_t kept_groups(const RouterShape& s, const std::int32_t (&key)[S::slots],
                                     const float (&value)[S::slots]) {
  std::int32_t low = nothing, high = nothing;
  for (int g = 0; g < s.groups; ++g) {
    const std::int32_t of_group = group_key<S>(s, key, value, g);
    low = g == lane() ? of_group : low;
    high = g == lane() + warp ? of_group : high;
  }
  std::uint64_t kept = 0;
  for (int j = 0; j < s.groups_kept; ++j) {
    const Ranked best = first_of_lanes(low >= high ? Ranked{low, lane()} : Ranked{high, lane() + warp});
    if (best.id < 0) break;
    kept |= std::uint64_t{1} << best.id;
    low = best.id == lane() ? nothing : low;
    high = best.id == lane() + warp ? nothing : high;
  }
  return kept;
}

/// Keys of order + bias; nothing past the row's end and in groups that are refused.
template <class S>
__device__ void make_keys(const Routed& a, const float (&order)[S::slots], std::int32_t (&key)[S::slots]) {
  const RouterShape& s = a.shape;
  float value[S::slots];
  read<S>(a.bias, s.experts, 0.0f, value);
#pragma unroll
  for (int i = 0; i < S::slots; ++i) {
    value[i] = order[i] + value[i];
    key[i] = S::expert(i) < s.experts ? key_of(value[i]) : nothing;
  }
  if (s.groups == 1) return;
  const std::uint64_t kept = kept_groups<S>(s, key, value);
  const int size = s.experts / s.groups;
#pragma unroll
  for (int i = 0; i < S::slots; ++i)
    if (S::expert(i) < s.experts && !(kept >> (S::expert(i) / size) & 1)) key[i] = nothing;
}

/// Lane j's choice is choice j.
struct OfLane {
  std::int32_t expert = 0;
  float basis = 0.0f;  // what its weight is made of
};

/// The choices of a token, and their margin by lane 0.
template <class S>
__device__ OfLane choose(const Routed& a, unsigned t, const std::int32_t (&key)[S::slots],
                         const float (&score)[S::slots], const float (&basis)[S::slots]) {
  const int n = a.shape.experts, k = a.shape.top_k;
  OfLane mine;
  Ranked taken = before_all();
  for (int j = 0; j < k; ++j) {
    taken = next_best<S>(key, 0, n, taken);
    const float of_choice = pick<S>(basis, taken.id);
    if (lane() == j) mine = {taken.id, of_choice};
  }
  const Ranked refused = next_best<S>(key, 0, n, taken);
  const float chosen = pick<S>(score, taken.id) + a.bias[taken.id];
  const float other = refused.id < 0 ? 0.0f : pick<S>(score, refused.id) + a.bias[refused.id];
  const float margin = chosen - other;
  if (lane() == 0) a.margin[t] = margin > 1.0f ? 1.0f : margin > 0.0f ? margin : 0.0f;
  return mine;
}

/// Σ over the choices of a token in order, from 0.
__device__ inline float sum_choices(int k, float value) {
  float sum = 0.0f;
  for (int j = 0; j < k; ++j) sum += __shfl_sync(all_lanes, value, j);
  return sum;
}

/// The combine weight of the lane's choice: by its share of the scores, by a softmax over the chosen, or by its score.
template <Family family>
__device__ float weight_of(const RouterShape& s, float basis) {
  if (s.normalise != Normalise::after) return basis * s.scale;
  if constexpr (family == Family::sigmoid) return basis / (sum_choices(s.top_k, basis) + least_sum) * s.scale;
  float top = -INFINITY;
  for (int j = 0; j < s.top_k; ++j) {
    const float other = __shfl_sync(all_lanes, basis, j);
    top = other > top ? other : top;
  }
  const float share = fast_exp(basis - top);
  return share / sum_choices(s.top_k, share) * s.scale;
}

/// Scores of token t from its logits, and its choices where the launch routes.
template <class S, Family family>
__device__ void route_row(const Routed& a, unsigned t, const float (&logit)[S::slots]) {
  const int n = a.shape.experts;
  float score[S::slots];
  RowResult row;
  if constexpr (family == Family::sigmoid)
    row = sigmoid_row<S>(n, a.scoring.wants_lse, logit, score);
  else
    row = softmax_row<S>(n, logit, score);
  write<S>(score, n, a.score + Index{t} * n);
  if (lane() == 0) a.inverse[t] = row.inverse, a.lse[t] = row.lse, a.entropy[t] = row.entropy;
  if (!a.routes) return;
  const bool of_logits = family == Family::softmax && a.shape.normalise == Normalise::after;
  const bool by_logits = family == Family::softmax && a.scoring.by_logits;
  float order[S::slots], basis[S::slots];
#pragma unroll
  for (int i = 0; i < S::slots; ++i)
    order[i] = by_logits ? logit[i] : score[i], basis[i] = of_logits ? logit[i] : score[i];
  std::int32_t key[S::slots];
  make_keys<S>(a, order, key);
  const OfLane mine = choose<S>(a, t, key, score, basis);
  const float weight = weight_of<family>(a.shape, mine.basis);
  if (lane() >= a.shape.top_k) return;
  const Index i = Index{a.first[t]} + lane();
  a.expert[i] = mine.expert, a.weight[i] = weight, a.kept[i] = 1;
}

inline Routed of_scores(const Scoring& scoring, const Scores& s) {
  Routed a{};
  a.scoring = scoring;
  a.shape.experts = static_cast<int>(s.score.extent(1));
  a.tokens = static_cast<unsigned>(s.score.extent(0));
  a.logits = s.logits.data(), a.score = s.score.data();
  a.inverse = s.inverse.data(), a.lse = s.lse.data(), a.entropy = s.entropy.data();
  return a;
}

inline void put_choice(Routed& a, const RouterShape& shape, const Choice& choice, const Vector<float>& bias,
                       const Vector<float>& margin) {
  a.shape = shape, a.routes = true;
  a.bias = bias.data(), a.margin = margin.data();
  a.first = choice.first.data(), a.expert = choice.expert.data();
  a.weight = choice.weight.data(), a.kept = choice.kept.data();
}

}  // namespace switchyard::moe::warps
