// ranks: 1 2 3 4 5 8
// The plan against its definition: counts, offsets and conservation on both sides.
#include "moe/plan.hpp"

#include <gtest/gtest.h>

#include "routing_cases.hpp"

namespace switchyard::moe::testing {
namespace {

bool within(const Range& range, std::int64_t i) { return range.first <= i && i < range.last; }

void check_offsets(const RoutingProblem& p) {
  const Plan& plan = *p.plan;
  const Range grains = p.groups.layout.my_group_grains();
  const std::vector<int> mine = p.experts_of(p.groups.layout.place());
  ASSERT_EQ(plan.pieces(), grains.size());
  ASSERT_EQ(plan.local_experts(), std::ssize(mine));
  const Index here = plan.here().rows.size();
  ASSERT_EQ(plan.here().offsets.size(), mine.size() + 1u);
  ASSERT_EQ(plan.others().offsets.size(), mine.size() + 1u);
  ASSERT_EQ(std::ssize(plan.piece_rows()), std::ssize(mine) * grains.size());
  for (std::size_t e = 0; e < mine.size(); ++e) EXPECT_EQ(plan.expert_at(static_cast<int>(e)), mine[e]);
  std::vector<Index> counts(mine.size() * grains.size());
  for (const auto& row : p.expected_rows()) {
    const auto local = std::find(mine.begin(), mine.end(), row.expert) - mine.begin();
    ++counts[local * grains.size() + row.token / p.test.grain_tokens - grains.first];
  }
  // By the definition: pieces that stay first, expert by expert, then the others in the same order.
  const Range own = p.groups.layout.my_grains();
  Index row = 0;
  for (const bool stay : {true, false}) {
    const Plan::Rows some = stay ? plan.here() : plan.others();
    EXPECT_EQ(some.rows.first, row);
    for (std::size_t e = 0; e < mine.size(); ++e) {
      EXPECT_EQ(some.offsets[e], row - some.rows.first);
      for (Index g = 0; g < grains.size(); ++g) {
        if ((p.config.layout.local_first && plan.itinerary().out.send.size() > 1 && within(own, grains.first + g)) !=
            stay)
          continue;
        const Range rows = plan.piece_rows()[e * grains.size() + g];
        EXPECT_EQ(rows.first, row);
        EXPECT_EQ(rows.size(), counts[e * grains.size() + g]);
        row = rows.last;
      }
    }
    EXPECT_EQ(some.offsets.back(), some.rows.size());
    EXPECT_EQ(some.rows.last, row);
  }
  EXPECT_EQ(row, plan.expert_rows());
  EXPECT_EQ(plan.staying().size(), here);
}

bool among(const std::vector<int>& experts, int e) {
  return std::find(experts.begin(), experts.end(), e) != experts.end();
}

/// Kept rows of this rank by the rank that holds their expert, and its rows by the place that they come from.
void check_journeys(const RoutingProblem& p) {
  const Plan& plan = *p.plan;
  const Layout& layout = p.groups.layout;
  const int first_rank = layout.group() * layout.expert_parallel;
  std::vector<std::int64_t> sent(layout.ranks, 0), received(layout.expert_parallel, 0);
  for (std::int64_t t = p.rows().first; t < p.rows().last; ++t)
    for (int j = 0; j < choices_of(p.test, t); ++j)
      for (int place = 0; kept(p.test, t, j) && place < layout.expert_parallel; ++place)
        sent[first_rank + place] += among(p.experts_of(place), expert_of(p.test, t, j));
  EXPECT_EQ(plan.traffic(), sent);
  if (plan.alone()) return;
  for (const auto& row : p.expected_rows())
    for (int place = 0; place < layout.expert_parallel; ++place)
      received[place] += within(layout.grains_of(first_rank + place), row.token / p.test.grain_tokens);
  const comm::RowPlan& out = plan.itinerary().out;
  for (int place = 0; place < layout.expert_parallel; ++place) {
    EXPECT_EQ(out.send[place].size(), sent[first_rank + place]) << place;
    EXPECT_EQ(out.receive[place].size(), received[place]) << place;
  }
}

void check_sides(const RoutingProblem& p) {
  const Plan& plan = *p.plan;
  check_journeys(p);
  if (!plan.alone()) {
    EXPECT_EQ(comm::count_rows(plan.itinerary().out.receive), plan.expert_rows());
    EXPECT_EQ(plan.itinerary().home.send, plan.itinerary().out.receive);
    EXPECT_EQ(plan.itinerary().home.receive, plan.itinerary().out.send);
  }
  std::int64_t rows[2] = {plan.send_rows(), plan.expert_rows()}, kept_rows = 0;
  MPI_Allreduce(MPI_IN_PLACE, rows, 2, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
  for (std::int64_t i = 0; i < std::int64_t{p.test.grains} * p.test.grain_tokens; ++i)
    for (int j = 0; j < choices_of(p.test, i); ++j) kept_rows += kept(p.test, i, j);
  EXPECT_EQ(rows[0], kept_rows);
  EXPECT_EQ(rows[1], kept_rows);
}

/// n values of the device.
std::vector<std::int32_t> copied(const std::int32_t* from, Index n) {
  return host_values(Kokkos::View<const std::int32_t*, Device::memory_space>(from, n));
}

void check_choices(const RoutingProblem& p) {
  const Plan& plan = *p.plan;
  const rows::Choices choices = plan.rows_of_tokens();
  const Range tokens = p.rows();
  ASSERT_EQ(choices.tokens, tokens.size());
  EXPECT_EQ(copied(choices.first, choices.tokens + 1), p.first);
  std::vector<std::int32_t> row(p.first.back(), -1), token;
  for (int place = 0; place < p.groups.layout.expert_parallel; ++place)
    for (const int e : p.experts_of(place))  // the definition: by place, then expert, then token
      for (std::int64_t t = 0; t < tokens.size(); ++t)
        for (int j = 0; j < choices_of(p.test, tokens.first + t); ++j) {
          if (expert_of(p.test, tokens.first + t, j) != e || !kept(p.test, tokens.first + t, j)) continue;
          row[p.first[t] + j] = static_cast<std::int32_t>(token.size());
          token.push_back(static_cast<std::int32_t>(t));
        }
  EXPECT_EQ(copied(choices.row, p.first.back()), row);
  EXPECT_EQ(copied(plan.token_of_row(), plan.send_rows()), token);
}

TEST(Plan, FollowsItsDefinition) {
  for (const bool local_first : {false, true})
    for (RoutingCase c : routing_cases())
      for (int ep : test::degrees()) {
        c.local_first = local_first;
        SCOPED_TRACE(::testing::PrintToString(c) + " EP " + std::to_string(ep));
        const RoutingProblem p(c, ep);
        check_offsets(p);
        check_sides(p);
        check_choices(p);
      }
}

TEST(Plan, TakesAllTokensOfAGroupAsOnePieceWherePiecesAreNotGrains) {
  for (int ep : test::degrees())
    for (const bool ragged : {false, true}) {
      const RoutingProblem p({8, 2, 6, 4, 8, 0, ExchangeKind::pairwise, ragged}, ep, Pieces::ranks);
      EXPECT_EQ(p.plan->pieces(), ep) << "one of each rank";
      EXPECT_EQ(p.plan->expert_rows(), static_cast<Index>(p.expected_rows().size()));
      check_sides(p);
      check_choices(p);
    }
}

TEST(Plan, RefusesAnExpertThatDoesNotExistAndChoicesOutsideTheirMemory) {
  Config config;
  config.train.grains = config.train.batch = 1, config.moe.top_k = 1, config.moe.experts = 4;
  const test::Ranks ranks(config, MPI_COMM_WORLD, 1, {});
  Placed<Plan> plan("test::plan", config, ranks.groups.layout, 0);
  if (ranks.groups.layout.my_grains().size() == 0) return;
  Choice choice{on_device<std::int32_t>({0, 1, 1, 3}),
                on_device<std::int32_t>({3, 3, 4}),
                {},
                on_device<std::uint8_t>({1, 1, 1})};
  const auto make = [&] {
    plan->begin(test::queue(), cut_of(3, 1, 1), choice, Pieces::grains, {ranks.groups.expert, *ranks.exchanges.near},
                0);
    test::queue().fence("test::plan");
    plan->settle();
  };
  EXPECT_ANY_THROW(make());
  choice.first = on_device<std::int32_t>({0, 1, 1, 4}), choice.expert = on_device<std::int32_t>({3, 3, 3});
  EXPECT_ANY_THROW(make());
}

/// What the device decides, and the host's own order of the same counts.
TEST(Plan, OfARankAloneLiesAsTheHostOrdersIt) {
  for (const RoutingCase& c : routing_cases()) {
    RoutingProblem p(c, 1);
    const Plan& plan = *p.plan;
    if (!plan.resident() || p.groups.layout.my_grains().size() == 0) continue;
    const Index pieces = plan.pieces(), experts = plan.local_experts();
    const Plan::PieceRows rows = plan.rows_of_pieces();
    const std::vector<std::int32_t> first = host_values(rows.first), count = host_values(rows.count);
    const Kokkos::View<const Index*, Device::memory_space> offsets(plan.others().on_device, experts + 1);
    EXPECT_EQ(host_values(offsets), plan.others().offsets);
    for (Index e = 0; e < experts; ++e)
      for (Index g = 0; g < pieces; ++g) {
        const Range expected = plan.piece_rows()[e * pieces + g];
        EXPECT_EQ(first[g * experts + e], expected.first);
        EXPECT_EQ(count[g * (experts + 1) + e], expected.size());
      }
  }
}

}  // namespace
}  // namespace switchyard::moe::testing
