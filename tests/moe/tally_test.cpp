// Counts of choices whose number differs from token to token, tokens without any among them; and sums over the tokens
// of a sequence, each of them one chain in double.
#include "moe/tally.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "routing_cases.hpp"

namespace switchyard::moe::testing {
namespace {

constexpr int experts = 6, context = 7, bins = 4, cutoff_bins = 16;

struct Memory {
  Memory(Arena& arena, const nn::Rows& rows, int of)
      : tally(make_tally(arena, rows, of, {bins, cutoff_bins})), scores(make_scores(arena, of, rows.count, 0)) {}
  Tally tally;
  Scores scores;
};

/// No bias, and bins of cutoffs over [−1, 1].
SelectionBias unbiased(int of) {
  return {on_device(std::vector<float>(of, 0.0f)), on_device(std::vector<float>{-1.0f, cutoff_bins / 2.0f})};
}

/// Pre-drop and kept choices of each sequence by expert, from the definition.
struct Counts {
  explicit Counts(const RoutingProblem& p) : assigned(p.rows().size() / context * experts), kept(assigned.size()) {
    for (std::int64_t t = 0; t < p.rows().size(); ++t)
      for (int j = 0; j < choices_of(p.test, t); ++j) {
        const std::size_t at = t / context * experts + expert_of(p.test, t, j);
        ++assigned[at];
        kept[at] += testing::kept(p.test, t, j);
      }
  }
  std::vector<std::int32_t> assigned, kept;
};

TEST(Tally, CountsTheChoicesThatATokenHas) {
  const RoutingProblem p({experts, 3, 5, context, experts, 3, ExchangeKind::pairwise, true}, 1);
  const Placed<Memory> memory("test::tally", nn::make_rows(config_of(p.test), p.groups.layout), experts);
  for (const auto& v : {memory->scores.inverse, memory->scores.lse, memory->scores.entropy, memory->tally.token_margin})
    Kokkos::deep_copy(v, 0.5f);
  Kokkos::deep_copy(memory->scores.score, 0.0f);
  count(test::queue(), p.choice, memory->scores, unbiased(experts), memory->tally);
  const Counts wanted(p);
  EXPECT_EQ(host_values(memory->tally.assigned), wanted.assigned);
  EXPECT_EQ(host_values(memory->tally.kept), wanted.kept);
}

// An edge belongs to the bin above it; what is below the first edge, denormals included, is in the first bin.
TEST(Tally, MarginsAreCountedByPowersOfTwo) {
  const RoutingProblem p({experts, 3, 2, context, experts, 3}, 1);
  const Placed<Memory> memory("test::tally", nn::make_rows(config_of(p.test), p.groups.layout), experts);
  for (const auto& v : {memory->scores.inverse, memory->scores.lse, memory->scores.entropy}) Kokkos::deep_copy(v, 0.5f);
  Kokkos::deep_copy(memory->scores.score, 0.0f);
  const float below_half = std::nextafter(0.5f, 0.0f), below_eighth = std::nextafter(0.125f, 0.0f);
  std::vector<float> margins{0.0f, 1e-42f, below_eighth, 0.125f, 0.2f, 0.25f, below_half,  // the first sequence
                             0.5f, 0.7f,   1.0f,         1.0f,   0.9f, 0.3f,  0.001f};
  ASSERT_EQ(margins.size(), 2u * context);
  Kokkos::deep_copy(memory->tally.token_margin, on_device(margins));
  count(test::queue(), p.choice, memory->scores, unbiased(experts), memory->tally);
  EXPECT_EQ(host_values(memory->tally.margin), (std::vector<std::int32_t>{3, 2, 2, 0, 1, 0, 1, 5}));
}

/// Numbers of the device, and on the host those that were put there.
std::vector<float> fill_with(float* to, std::vector<float> values) {
  Kokkos::deep_copy(Vector<float>(to, values.size()), on_device(values));
  return values;
}

/// To the bit on the host; a GPU adds strips of tokens.
void expect_sums(const std::vector<double>& got, const std::vector<double>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (on_host)
      EXPECT_EQ(got[i], wanted[i]) << i;
    else
      EXPECT_NEAR(got[i], wanted[i], 1e-13 * context) << i;
  }
}

// 70 experts are more than are summed side by side.
TEST(Tally, SumsOverTheTokensOfASequenceAreChainsInDouble) {
  constexpr int many = 70, sequences = 5, tokens = sequences * context;
  const RoutingProblem p({many, 3, sequences, context, many, 3}, 1);
  const Placed<Memory> memory("test::tally", nn::make_rows(config_of(p.test), p.groups.layout), many);
  const Scores& s = memory->scores;
  const auto score = fill_with(s.score.data(), test::numbers(tokens * many, 1)),
             inverse = fill_with(s.inverse.data(), test::numbers(tokens, 2)),
             lse = fill_with(s.lse.data(), test::numbers(tokens, 3)),
             entropy = fill_with(s.entropy.data(), test::numbers(tokens, 4));
  fill_with(memory->tally.token_margin.data(), std::vector<float>(tokens, 0.0f));
  std::vector<double> mass(sequences * many, 0.0), sums(sums_of_tokens * sequences, 0.0);
  for (int t = 0; t < tokens; ++t) {
    for (int e = 0; e < many; ++e) mass[t / context * many + e] += score[t * many + e] * inverse[t];
    double* of = &sums[t / context * sums_of_tokens];
    of[entropy_sum] += entropy[t], of[squares_sum] += double(lse[t]) * lse[t];
  }
  for (int again = 0; again < 2; ++again) count(test::queue(), p.choice, s, unbiased(many), memory->tally);
  const auto variance = host_values(memory->tally.facts.variance), weight = host_values(memory->tally.facts.weight);
  for (int t = 0; t < tokens; ++t) {
    double* of = &sums[t / context * sums_of_tokens];
    of[variance_sum] += variance[t], of[weight_sum] += weight[t];
  }
  expect_sums(host_values(memory->tally.mass), mass);
  expect_sums(host_values(memory->tally.sums), sums);
}

/// Of one token from the definition, in double.
struct Facts {
  double variance = 0.0, weight = 0.0, cutoff = -std::numeric_limits<double>::infinity();
};

Facts facts_by_definition(const RoutingProblem& p, int t, const float* score, const std::vector<float>& bias) {
  Facts f;
  double mean = 0.0;
  for (int e = 0; e < experts; ++e) mean += score[e] / double(experts);
  for (int e = 0; e < experts; ++e) f.variance += (score[e] - mean) * (score[e] - mean) / experts;
  std::set<int> chosen;
  const auto first = host_values(p.choice.first);
  const auto weight = host_values(p.choice.weight);
  for (int j = 0; j < choices_of(p.test, t); ++j) {
    chosen.insert(expert_of(p.test, t, j));
    f.weight += weight[first[t] + j];
  }
  for (int e = 0; e < experts; ++e)
    if (!chosen.count(e)) f.cutoff = std::max(f.cutoff, double(score[e] + bias[e]));
  return f;
}

TEST(Tally, FactsAndCutoffsOfTokensAreThoseOfTheDefinition) {
  const RoutingProblem p({experts, 3, 5, context, experts, 3, ExchangeKind::pairwise, true}, 1);
  const Placed<Memory> memory("test::tally", nn::make_rows(config_of(p.test), p.groups.layout), experts);
  constexpr int tokens = 5 * context;
  const std::vector<float> bias{0.3f, -0.1f, 0.0f, 0.2f, -0.4f, 0.05f};
  auto score = test::numbers(tokens * experts, 1);
  for (float& s : score) s = 0.5f + 0.5f * s;
  fill_with(memory->scores.score.data(), score);
  for (const auto& v : {memory->scores.inverse, memory->scores.lse, memory->scores.entropy, memory->tally.token_margin})
    Kokkos::deep_copy(v, 0.5f);
  const SelectionBias by{on_device(bias), on_device(std::vector<float>{-0.6f, 10.0f})};  // the ends are left out
  for (int again = 0; again < 2; ++again) count(test::queue(), p.choice, memory->scores, by, memory->tally);
  const TokenFacts& found = memory->tally.facts;
  const auto variance = host_values(found.variance), weight = host_values(found.weight),
             cutoff = host_values(found.cutoff);
  std::vector<std::int32_t> counts(experts * cutoff_bins, 0);
  for (int t = 0; t < tokens; ++t) {
    const Facts wanted = facts_by_definition(p, t, &score[t * experts], bias);
    EXPECT_NEAR(variance[t], wanted.variance, 1e-7) << t;
    EXPECT_NEAR(weight[t], wanted.weight, 1e-6) << t;
    EXPECT_EQ(cutoff[t], static_cast<float>(wanted.cutoff)) << t;
    for (int e = 0; e < experts; ++e) {
      const float at = (cutoff[t] - score[t * experts + e] + 0.6f) * 10.0f;
      ++counts[e * cutoff_bins + static_cast<int>(std::clamp(std::floor(at), 0.0f, cutoff_bins - 1.0f))];
    }
  }
  EXPECT_EQ(host_values(memory->tally.cutoffs), counts);
}

}  // namespace
}  // namespace switchyard::moe::testing
