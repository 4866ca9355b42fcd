#include "moe/selection.hpp"

#include "tensor/lanes.hpp"
#include "tensor/math.hpp"
#include "base/philox.hpp"

namespace switchyard::moe {
namespace {

constexpr std::int32_t nothing = INT32_MIN;  ///< below the key of every score, so a refused expert cannot be chosen

/// The best candidates so far, as integer keys in falling order; equal keys in the order in which they came.
struct Best {
  std::int32_t key[max_choices + 1];
  std::int32_t id[max_choices + 1];
};

KOKKOS_INLINE_FUNCTION void clear(Best& best, int n) {
  for (int j = 0; j < n; ++j) best.key[j] = nothing, best.id[j] = -1;
}

/// A candidate better than the last of n.
KOKKOS_INLINE_FUNCTION void insert(Best& best, int n, std::int32_t key, std::int32_t id) {
  int j = n - 1;
  for (; j > 0 && best.key[j - 1] < key; --j) {
    best.key[j] = best.key[j - 1];
    best.id[j] = best.id[j - 1];
  }
  best.key[j] = key;
  best.id[j] = id;
}

/// Order of scores as integers, NaN included; −0 equals +0.
KOKKOS_INLINE_FUNCTION std::int32_t key_of(float score) {
  const std::int32_t key = ordered_bits(score + 0.0f);
  return key > nothing ? key : nothing + 1;
}

/// Where experts are ranked: score + bias.
struct Ranking {
  const float* score;
  const float* bias;
};

/// Offers experts [first, last), ascending, to the n best. A block of lanes without a better one is passed over.
KOKKOS_INLINE_FUNCTION void offer(const Ranking& r, int first, int last, int n, Best& best) {
  int e = first;
  for (; e + lane_count <= last; e += lane_count) {
    std::int32_t key[lane_count], top = nothing;
    for (int l = 0; l < lane_count; ++l) key[l] = key_of(r.score[e + l] + r.bias[e + l]);
    for (int l = 0; l < lane_count; ++l) top = key[l] > top ? key[l] : top;
    if (top <= best.key[n - 1]) continue;
    for (int l = 0; l < lane_count; ++l)
      if (key[l] > best.key[n - 1]) insert(best, n, key[l], e + l);
  }
  for (; e < last; ++e) {
    const std::int32_t key = key_of(r.score[e] + r.bias[e]);
    if (key > best.key[n - 1]) insert(best, n, key, e);
  }
}

/// Best scores of a group that are added to its score.
KOKKOS_INLINE_FUNCTION int group_share(const RouterShape& s) {
  if (s.group_score == GroupScore::max) return 1;
  return s.group_score == GroupScore::top2_sum ? 2 : s.top_k / s.groups_kept;
}

KOKKOS_INLINE_FUNCTION float group_score(const Ranking& r, int first, int last, int share) {
  Best best;
  clear(best, share);
  offer(r, first, last, share, best);
  float sum = 0.0f;
  for (int j = 0; j < share && best.id[j] >= 0; ++j) sum += r.score[best.id[j]] + r.bias[best.id[j]];
  return sum;
}

/// Bit g is set where group g is kept; by group score descending, then group ascending.
KOKKOS_INLINE_FUNCTION std::uint64_t kept_groups(const RouterShape& s, const Ranking& r) {
  const int size = s.experts / s.groups, share = group_share(s);
  Best groups;
  clear(groups, s.groups_kept);
  for (int g = 0; g < s.groups; ++g) {
    const std::int32_t key = key_of(group_score(r, g * size, (g + 1) * size, share));
    if (key > groups.key[s.groups_kept - 1]) insert(groups, s.groups_kept, key, g);
  }
  std::uint64_t mask = 0;
  for (int j = 0; j < s.groups_kept; ++j) mask |= std::uint64_t{1} << groups.id[j];
  return mask;
}

/// The n best experts; those of refused groups are never offered.
KOKKOS_INLINE_FUNCTION void rank(const RouterShape& s, const Ranking& r, int n, Best& best) {
  clear(best, n);
  if (s.groups == 1) return offer(r, 0, s.experts, n, best);
  const std::uint64_t kept = kept_groups(s, r);
  const int size = s.experts / s.groups;
  for (int g = 0; g < s.groups; ++g)
    if (kept >> g & 1) offer(r, g * size, (g + 1) * size, n, best);
}

/// Combine weights of the chosen; `row` is the logits for a softmax after selection, else the scores.
KOKKOS_INLINE_FUNCTION void weigh(const RouterShape& s, const Best& best, const float* row, float* weight) {
  const bool after = s.normalise == Normalise::after, softmax = s.router != Router::sigmoid;
  float top = row[best.id[0]], sum = 0.0f;
  for (int j = 1; j < s.top_k; ++j) top = row[best.id[j]] > top ? row[best.id[j]] : top;
  for (int j = 0; j < s.top_k; ++j) {
    weight[j] = after && softmax ? fast_exp(row[best.id[j]] - top) : row[best.id[j]];
    sum += weight[j];
  }
  const float divisor = !after ? 1.0f : softmax ? sum : sum + 1e-20f;
  for (int j = 0; j < s.top_k; ++j) weight[j] = weight[j] / divisor * s.scale;
}

/// Lowest chosen minus highest refused score, in [0, 1].
KOKKOS_INLINE_FUNCTION float margin_of(int k, const Best& best, const Ranking& r) {
  const int chosen = best.id[k - 1], refused = best.id[k];
  const float other = refused < 0 ? 0.0f : r.score[refused] + r.bias[refused];
  const float margin = r.score[chosen] + r.bias[chosen] - other;
  return margin > 1.0f ? 1.0f : margin > 0.0f ? margin : 0.0f;
}

/// The r-th (from 0) of the experts that are not among `taken`, n of them, ascending; it is added to them.
KOKKOS_INLINE_FUNCTION int take(std::int32_t* taken, int n, int r) {
  int place = 0;
  for (; place < n && taken[place] <= r; ++place) ++r;
  for (int j = n; j > place; --j) taken[j] = taken[j - 1];
  taken[place] = r;
  return r;
}

/// k different experts of one token id, in the order drawn.
KOKKOS_INLINE_FUNCTION void hash_row(int experts, int k, std::uint64_t key, std::uint32_t id, std::uint32_t block,
                                     std::int32_t* expert) {
  std::int32_t taken[max_choices];
  Philox random{};
  for (int j = 0; j < k; ++j) {
    if (j % 4 == 0) random = philox(key, {{id, block, static_cast<std::uint32_t>(j / 4), 0}});
    const std::uint64_t among = static_cast<std::uint64_t>(experts - j);
    expert[j] = take(taken, j, static_cast<int>(random.v[j % 4] * among >> 32));
  }
}

}  // namespace

void select(const RouterShape& shape, const Scores& scores, const Vector<float>& bias, const Choice& choice,
            const Vector<float>& margin) {
  const int k = shape.top_k;
  const bool softmax = shape.router != Router::sigmoid;
  const bool by_logits = softmax && !shape.biased && shape.groups == 1;
  const bool by_selected = softmax && shape.normalise == Normalise::after;
  Kokkos::parallel_for(
      "switchyard::moe::selection::select", Kokkos::RangePolicy<Device>(0, choice.expert.extent(0)),
      KOKKOS_LAMBDA(Index t) {
        const float* score = &scores.score(t, 0);
        const Ranking ranking{by_logits ? &scores.logits(t, 0) : score, bias.data()};
        Best best;
        rank(shape, ranking, k + 1, best);
        for (int j = 0; j < k; ++j) choice.expert(t, j) = best.id[j];
        weigh(shape, best, by_selected ? &scores.logits(t, 0) : score, &choice.weight(t, 0));
        margin(t) = margin_of(k, best, {score, bias.data()});
      });
}

void select_by_hash(const RouterShape& shape, std::uint64_t seed, int block, const Vector<std::int32_t>& ids,
                    const Scores& scores, const Choice& choice, const Vector<float>& margin) {
  const int k = shape.top_k, experts = shape.experts;
  const float share = 1.0f / static_cast<float>(k), weight = shape.scale * share;
  const std::uint64_t key = stream_key(seed, Purpose::router_hash);
  Kokkos::parallel_for(
      "switchyard::moe::selection::hash", Kokkos::RangePolicy<Device>(0, choice.expert.extent(0)),
      KOKKOS_LAMBDA(Index t) {
        hash_row(experts, k, key, static_cast<std::uint32_t>(ids(t)), static_cast<std::uint32_t>(block),
                 &choice.expert(t, 0));
        for (int e = 0; e < experts; ++e) scores.score(t, e) = 0.0f;
        for (int j = 0; j < k; ++j) {
          scores.score(t, choice.expert(t, j)) = share;
          choice.weight(t, j) = weight;
        }
        scores.inverse(t) = 1.0f;
        scores.lse(t) = 0.0f;
        scores.entropy(t) = fast_log(static_cast<float>(k));
        margin(t) = share;
      });
}

}  // namespace switchyard::moe
