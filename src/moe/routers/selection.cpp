#include "moe/routers/selection.hpp"

#include "moe/routers/warps.hpp"
#include "tensor/lanes.hpp"
#include "tensor/math.hpp"

namespace switchyard::moe {
namespace {

constexpr std::int32_t nothing = INT32_MIN;  ///< below the key of every score
constexpr int max_blocks = max_groups;

/// Order of scores as integers, NaN included; −0 equals +0.
KOKKOS_INLINE_FUNCTION std::int32_t key_of(float score) {
  const std::int32_t key = ordered_bits(score + 0.0f);
  return key > nothing ? key : nothing + 1;
}

/// Where experts are ranked: score + bias.
struct Ranking {
  const float* score;
  const float* bias;
  KOKKOS_INLINE_FUNCTION std::int32_t key(int e) const { return key_of(score[e] + bias[e]); }
};

/// An expert in the order: key descending, then id ascending.
struct Ranked {
  std::int32_t key, id;
};

/// Largest key of the experts [first, last) that come after `taken`; nothing if none does. Masks, not conditions, so
/// that compilers vectorise the loop.
KOKKOS_INLINE_FUNCTION std::int32_t best_after(const Ranking& r, int first, int last, Ranked taken) {
  std::int32_t top = nothing;
  for (int e = first; e < last; ++e) {
    const std::int32_t key = r.key(e);
    const std::int32_t lower = -static_cast<std::int32_t>(key < taken.key);
    const std::int32_t later = -static_cast<std::int32_t>(key == taken.key) & -static_cast<std::int32_t>(e > taken.id);
    const std::int32_t candidate = (key & (lower | later)) | (nothing & ~(lower | later));
    top = candidate > top ? candidate : top;
  }
  return top;
}

/// First expert of [first, last) above `low` with this key.
KOKKOS_INLINE_FUNCTION std::int32_t find(const Ranking& r, int first, int last, std::int32_t key, int low) {
  std::int32_t found = last;
  for (int e = first; e < last; ++e) {
    const std::int32_t candidate = (r.key(e) == key) & (e > low) ? e : last;
    found = candidate < found ? candidate : found;
  }
  return found;
}

/// The experts that a token may use, in blocks with their best key, so that the next best one is found by looking at
/// one block. Each group has equally many blocks; a refused group's best key is `nothing`, so it cannot be chosen.
struct Blocks {
  int group_size, length, per_group;
  std::int32_t best[max_blocks];

  KOKKOS_INLINE_FUNCTION int first(int b) const { return b / per_group * group_size + b % per_group * length; }
  KOKKOS_INLINE_FUNCTION int last(int b) const {
    const int end = (b / per_group + 1) * group_size, full = first(b) + length;
    return full < end ? full : end;
  }
};

KOKKOS_INLINE_FUNCTION constexpr Ranked before_all() { return {INT32_MAX, -1}; }

KOKKOS_INLINE_FUNCTION void fill(const Ranking& r, const RouterShape& s, Blocks& blocks) {
  blocks.group_size = s.experts / s.groups;
  blocks.length = lane_count;
  while ((blocks.group_size + blocks.length - 1) / blocks.length * s.groups > max_blocks) blocks.length *= 2;
  blocks.per_group = (blocks.group_size + blocks.length - 1) / blocks.length;
  for (int b = 0; b < blocks.per_group * s.groups; ++b)
    blocks.best[b] = best_after(r, blocks.first(b), blocks.last(b), before_all());
}

/// Takes the next best expert after `taken` out of blocks [from, to); id −1 if none is left.
KOKKOS_INLINE_FUNCTION Ranked take_next(const Ranking& r, Blocks& blocks, int from, int to, Ranked taken) {
  int block = from;
  for (int b = from + 1; b < to; ++b) block = blocks.best[b] > blocks.best[block] ? b : block;
  const std::int32_t key = blocks.best[block];
  if (key == nothing) return {nothing, -1};
  const int first = blocks.first(block), last = blocks.last(block);
  const Ranked next{key, find(r, first, last, key, key == taken.key ? taken.id : -1)};
  blocks.best[block] = best_after(r, first, last, next);
  return next;
}

/// Best scores of a group that are added to its score.
KOKKOS_INLINE_FUNCTION int group_share(const RouterShape& s) {
  if (s.group_score == GroupScore::max) return 1;
  return s.group_score == GroupScore::top2_sum ? 2 : s.top_k / s.groups_kept;
}

/// Sum of the best scores of group g, whose blocks are left as they were.
KOKKOS_INLINE_FUNCTION float group_score(const Ranking& r, Blocks& blocks, int g, int share) {
  const int from = g * blocks.per_group, to = from + blocks.per_group;
  Ranked taken = before_all();
  float sum = 0.0f;
  for (int j = 0; j < share; ++j) {
    taken = take_next(r, blocks, from, to, taken);
    if (taken.id < 0) break;
    sum += r.score[taken.id] + r.bias[taken.id];
  }
  for (int b = from; b < to; ++b) blocks.best[b] = best_after(r, blocks.first(b), blocks.last(b), before_all());
  return sum;
}

/// Refuses all groups but the best: group score descending, then group ascending.
KOKKOS_INLINE_FUNCTION void refuse_groups(const RouterShape& s, const Ranking& r, Blocks& blocks) {
  std::int32_t key[max_groups];
  const int share = group_share(s);
  for (int g = 0; g < s.groups; ++g) key[g] = key_of(group_score(r, blocks, g, share));
  for (int kept = 0; kept < s.groups_kept; ++kept) {
    int best = 0;
    for (int g = 1; g < s.groups; ++g) best = key[g] > key[best] ? g : best;
    key[best] = nothing;
  }
  for (int b = 0; b < s.groups * blocks.per_group; ++b)
    if (key[b / blocks.per_group] != nothing) blocks.best[b] = nothing;
}

/// The best experts in falling order, id −1 where there is none.
struct Best {
  std::int32_t id[max_choices + 1];
};

KOKKOS_INLINE_FUNCTION void rank(const RouterShape& s, const Ranking& r, int n, Best& best) {
  Blocks blocks;
  fill(r, s, blocks);
  if (s.groups > 1) refuse_groups(s, r, blocks);
  Ranked taken = before_all();
  for (int j = 0; j < n; ++j) {
    taken = take_next(r, blocks, 0, blocks.per_group * s.groups, taken);
    best.id[j] = taken.id;
  }
}

/// Lowest chosen minus highest refused score, in [0, 1].
KOKKOS_INLINE_FUNCTION float margin_of(int k, const Best& best, const Ranking& r) {
  const int chosen = best.id[k - 1], refused = best.id[k];
  const float other = refused < 0 ? 0.0f : r.score[refused] + r.bias[refused];
  const float margin = r.score[chosen] + r.bias[chosen] - other;
  return margin > 1.0f ? 1.0f : margin > 0.0f ? margin : 0.0f;
}

}  // namespace

void select(const Queue& queue, const RouterShape& shape, const RankedBy& by, const Choice& choice,
            const Vector<float>& margin) {
  if constexpr (!on_host)
    if (warps::serve(shape.experts)) return warps::select(queue, shape, by, choice, margin);
  const int k = shape.top_k;
  Kokkos::parallel_for(
      "switchyard::moe::selection::select", queue.range(choice.tokens()), KOKKOS_LAMBDA(Index t) {
        Best best;
        rank(shape, {&by.order(t, 0), by.bias.data()}, k + 1, best);
        const TokenChoices chosen = choice.of(t);
        for (int j = 0; j < k; ++j) {
          chosen.expert[j] = best.id[j];
          choice.kept(choice.first(t) + j) = 1;
        }
        margin(t) = margin_of(k, best, {&by.score(t, 0), by.bias.data()});
      });
}

}  // namespace switchyard::moe
