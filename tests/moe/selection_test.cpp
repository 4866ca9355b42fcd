// Selection by a total order: ties, not-a-number, every number of experts, and the traps of group limits.
#include "moe/routers/selection.hpp"

#include <gtest/gtest.h>

#include <set>

#include "moe/router_rig.hpp"
#include "reference/router.hpp"

namespace switchyard::moe {
namespace {

struct Selected {
  std::vector<std::int32_t> expert;
  std::vector<float> margin;
};

struct Choices {
  Choices(Arena& arena, Index tokens, int top_k) : choice(make_choice(arena, tokens, top_k)) {}
  Choice choice;
};

/// Selection from order(N, E) + bias(E), with margins of score(N, E) + bias(E).
Selected run(const MoeConfig& config, int experts, const std::vector<float>& order, const std::vector<float>& score,
             const std::vector<float>& bias) {
  const Index tokens = score.size() / experts;
  const Matrix<float> orders("order", tokens, experts), scores("score", tokens, experts);
  Kokkos::deep_copy(orders, HostMatrix<const float>(order.data(), tokens, experts));
  Kokkos::deep_copy(scores, HostMatrix<const float>(score.data(), tokens, experts));
  const Vector<float> device_bias("bias", experts), margin("margin", tokens);
  Kokkos::deep_copy(device_bias, HostVector<const float>(bias.data(), experts));
  const Placed<Choices> memory("test::choice", tokens, config.top_k);
  const Choice& choice = memory->choice;
  select(test::queue(), router_shape(config, experts), {orders, scores, device_bias}, choice, margin);
  return {host_values(choice.expert), host_values(margin)};
}

Selected run(const MoeConfig& config, int experts, const std::vector<float>& score, const std::vector<float>& bias) {
  return run(config, experts, score, score, bias);
}

MoeConfig config_of(int top_k, int groups = 1, int kept = 1, GroupScore score = GroupScore::top2_sum) {
  MoeConfig c;
  c.top_k = top_k, c.groups = groups, c.groups_kept = kept, c.group_score = score;
  return c;
}

std::vector<float> uniform_scores(Index n, std::uint64_t salt) {
  std::vector<float> s(n);
  for (Index i = 0; i < n; ++i) s[i] = 0.5f + 0.5f * test::noise(i, salt);
  return s;
}

/// Values of one token in float, as select ranks them.
std::vector<float> ranked(const std::vector<float>& score, const std::vector<float>& bias, std::size_t token) {
  std::vector<float> value(bias.size());
  for (std::size_t e = 0; e < bias.size(); ++e) value[e] = score[token * bias.size() + e] + bias[e];
  return value;
}

/// The highest value inside the kept groups that is not chosen; 0 where all of them are.
float best_refused(const MoeConfig& c, const std::vector<float>& value) {
  const std::vector<bool> kept = reference::kept_groups(c, value);
  std::vector<float> inside;
  for (std::size_t e = 0; e < value.size(); ++e)
    if (kept[e * c.groups / value.size()]) inside.push_back(value[e]);
  std::sort(inside.rbegin(), inside.rend());
  return inside.size() > static_cast<std::size_t>(c.top_k) ? inside[c.top_k] : 0.0f;
}

void expect_reference(const MoeConfig& c, int experts, const std::vector<float>& score,
                      const std::vector<float>& bias) {
  const Selected got = run(c, experts, score, bias);
  for (std::size_t t = 0; t < score.size() / experts; ++t) {
    const std::vector<float> value = ranked(score, bias, t);
    const auto want = reference::selection(c, value);
    for (int j = 0; j < c.top_k; ++j)
      EXPECT_EQ(got.expert[t * c.top_k + j], want[j]) << "E " << experts << " k " << c.top_k << " token " << t;
    EXPECT_EQ(got.margin[t], std::clamp(value[want.back()] - best_refused(c, value), 0.0f, 1.0f)) << "token " << t;
  }
}

TEST(Selection, TotalOrderForEveryNumberOfExperts) {
  for (const int experts : {1, 2, 3, 8, 31, 64, 256, 257, 512, 1000, 1024})
    for (const int k : {1, 2, 3, 8, 16, 32}) {
      if (k > experts) continue;
      std::vector<float> bias(experts);
      for (int e = 0; e < experts; ++e) bias[e] = 0.2f * test::noise(e, 3);
      expect_reference(config_of(k), experts, uniform_scores(40 * experts, k), bias);
    }
}

TEST(Selection, TiesGoToTheLowerExpert) {
  for (const int experts : {2, 8, 64, 257}) {
    std::vector<float> score = uniform_scores(60 * experts, 1);
    for (float& s : score) s = std::floor(s * 3.0f) / 3.0f - 1.0f / 3.0f;  // three values, one of them negative
    for (std::size_t i = 0; i < score.size(); i += 5) score[i] = score[i] == 0.0f ? -0.0f : score[i];
    for (const int k : {1, 2, 7})
      expect_reference(config_of(std::min(k, experts)), experts, score, std::vector<float>(experts));
  }
}

TEST(Selection, EqualScoresTakeTheFirstExperts) {
  const Selected got = run(config_of(3), 100, std::vector<float>(100, 0.25f), std::vector<float>(100, 0.0f));
  EXPECT_EQ(got.expert, (std::vector<std::int32_t>{0, 1, 2}));
  EXPECT_EQ(got.margin[0], 0.0f);
}

TEST(Selection, ChoicesAreDifferentExpertsWhateverTheScores) {
  const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, 0.5f, -0.0f};
  constexpr int experts = 19, k = 7, tokens = 50;
  std::vector<float> score(tokens * experts);
  for (std::size_t i = 0; i < score.size(); ++i)
    score[i] = bad[static_cast<int>((test::noise(i, 4) + 1.0f) * 3.0f) % 6];
  for (int i = 0; i < experts; ++i) score[i] = -NAN, score[experts + i] = -INFINITY;
  const Selected got = run(config_of(k), experts, score, std::vector<float>(experts, 0.0f));
  for (int t = 0; t < tokens; ++t) {
    std::vector<std::int32_t> row(got.expert.begin() + t * k, got.expert.begin() + (t + 1) * k);
    std::sort(row.begin(), row.end());
    EXPECT_TRUE(row.front() >= 0 && row.back() < experts);
    EXPECT_EQ(std::adjacent_find(row.begin(), row.end()), row.end()) << "token " << t;
  }
}

TEST(Selection, GroupLimitsOfEveryKind) {
  for (const GroupScore score : {GroupScore::top2_sum, GroupScore::share_sum, GroupScore::max})
    for (const auto& [experts, groups, kept, k] :
         {std::array{16, 4, 2, 8}, {256, 8, 4, 8}, {24, 6, 3, 3}, {8, 8, 2, 2}, {6, 2, 1, 3}}) {
      std::vector<float> bias(experts);
      for (int e = 0; e < experts; ++e) bias[e] = -0.6f + 0.1f * test::noise(e, 3);
      expect_reference(config_of(k, groups, kept, score), experts, uniform_scores(100 * experts, 2), bias);
    }
}

// Scores that are equal to float may have unequal logits: the order is that of the logits, the margin that of scores.
TEST(Selection, TheMarginIsOfScoresWhateverTheyAreRankedBy) {
  const std::vector<float> order{3.0f, -2.0f, 3.5f, 1.0f}, score{0.25f, 0.125f, 0.25f, 0.375f};
  const Selected two = run(config_of(2), 4, order, score, {0.0f, 0.0f, 0.0f, 0.0f});
  EXPECT_EQ(two.expert, (std::vector<std::int32_t>{2, 0}));
  EXPECT_EQ(two.margin[0], 0.0f) << "0.25 less 0.375, clamped";
  const Selected three = run(config_of(3), 4, order, score, {0.0f, 0.0f, 0.0f, 0.5f});
  EXPECT_EQ(three.expert, (std::vector<std::int32_t>{2, 0, 3}));
  EXPECT_EQ(three.margin[0], 0.75f) << "with the bias";
}

// Groups whose scores are no numbers are groups all the same: two are kept, from which different experts are chosen.
TEST(Selection, GroupsOfNoNumbersKeepWhatIsAskedFor) {
  const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, 0.5f, -0.0f};
  constexpr int experts = 24, k = 7, tokens = 400;
  std::vector<float> score(tokens * experts);
  for (std::size_t i = 0; i < score.size(); ++i)
    score[i] = bad[static_cast<int>((test::noise(i, 4) + 1.0f) * 3.0f) % 6];
  for (int i = 0; i < experts; ++i) score[i] = -NAN, score[experts + i] = -INFINITY, score[2 * experts + i] = INFINITY;
  for (const GroupScore of : {GroupScore::top2_sum, GroupScore::share_sum, GroupScore::max}) {
    const Selected got = run(config_of(k, 6, 2, of), experts, score, std::vector<float>(experts, 0.0f));
    for (int t = 0; t < tokens; ++t) {
      std::set<int> chosen(got.expert.begin() + t * k, got.expert.begin() + (t + 1) * k), groups;
      ASSERT_EQ(chosen.size(), std::size_t{k}) << "token " << t;
      for (const int e : chosen) groups.insert(e / 4);
      EXPECT_TRUE(*chosen.begin() >= 0 && *chosen.rbegin() < experts && groups.size() == 2) << "token " << t;
      EXPECT_TRUE(got.margin[t] >= 0.0f && got.margin[t] <= 1.0f) << "token " << t;
    }
  }
}

// Megatron sums the best k / kept scores of a group, DeepSeek-V3 and others the best two: with k = 8 in 2 of 4 groups
// of 4 the groups differ for a third of the tokens.
TEST(Selection, ShareAndTopTwoChooseOtherGroups) {
  constexpr int tokens = 4000, experts = 16;
  const std::vector<float> score = uniform_scores(tokens * experts, 8), bias(experts, 0.0f);
  const auto share = run(config_of(8, 4, 2, GroupScore::share_sum), experts, score, bias).expert;
  const auto top2 = run(config_of(8, 4, 2, GroupScore::top2_sum), experts, score, bias).expert;
  int differ = 0;
  for (int t = 0; t < tokens; ++t) {
    std::uint32_t groups[2] = {};
    for (int j = 0; j < 8; ++j) groups[0] |= 1u << share[t * 8 + j] / 4, groups[1] |= 1u << top2[t * 8 + j] / 4;
    differ += groups[0] != groups[1];
  }
  EXPECT_NEAR(differ / double(tokens), 0.34, 0.03);
}

// With a bias of −0.6 most values are negative, so a mask of 0.0 prefers the refused groups.
TEST(Selection, RefusedGroupsAreNeverChosen) {
  constexpr int tokens = 2000, experts = 16, k = 6;
  const MoeConfig c = config_of(k, 4, 2);
  const std::vector<float> score = uniform_scores(tokens * experts, 9), bias(experts, -0.6f);
  const auto got = run(c, experts, score, bias).expert;
  int trapped = 0;
  for (int t = 0; t < tokens; ++t) {
    const std::vector<float> value = ranked(score, bias, t);
    const auto kept = reference::kept_groups(c, value);
    for (int j = 0; j < k; ++j) EXPECT_TRUE(kept[got[t * k + j] / 4]) << "token " << t;
    bool outside = false;
    for (const int e : reference::selection(c, value, 0.0f)) outside |= !kept[e / 4];
    trapped += outside;
  }
  EXPECT_GT(trapped, tokens * 8 / 10);  // what the mask of 0.0 would do
}

}  // namespace
}  // namespace switchyard::moe
