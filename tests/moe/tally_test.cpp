// Counts of choices whose number differs from token to token, tokens without any among them.
#include "moe/tally.hpp"

#include <gtest/gtest.h>

#include "routing_cases.hpp"

namespace switchyard::moe::testing {
namespace {

constexpr int experts = 6, context = 7, bins = 4;

struct Memory {
  Memory(Arena& arena, const nn::Rows& rows)
      : tally(make_tally(arena, rows, experts, bins)), scores(make_scores(arena, experts, rows.count, 0)) {}
  Tally tally;
  Scores scores;
};

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
  const Placed<Memory> memory("test::tally", nn::make_rows(config_of(p.test), p.groups.layout));
  for (const auto& v : {memory->scores.inverse, memory->scores.lse, memory->scores.entropy, memory->tally.token_margin})
    Kokkos::deep_copy(v, 0.5f);
  Kokkos::deep_copy(memory->scores.score, 0.0f);
  count(test::queue(), p.choice, memory->scores, memory->tally);
  const Counts wanted(p);
  EXPECT_EQ(host_values(memory->tally.assigned), wanted.assigned);
  EXPECT_EQ(host_values(memory->tally.kept), wanted.kept);
}

}  // namespace
}  // namespace switchyard::moe::testing
