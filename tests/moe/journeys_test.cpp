// ranks: 1 2 3 4 6 8
// What crosses between nodes on the four journeys, counted from what was chosen: each choice where rows go straight,
// each token once a node where they go by nodes, once a rank where they are gathered.
#include "moe/journeys.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <tuple>

#include "layer_problem.hpp"

namespace switchyard::moe::testing {
namespace {

/// Rows that cross of this rank's tokens: of choices, and of tokens.
struct Crossings {
  std::int64_t choices = 0, tokens = 0;
};

/// By the definition of a placement.
int place_of(const LayerProblem& p, int expert) {
  const int places = p.groups.layout.expert_parallel;
  for (int place = 0; place < places; ++place) {
    const std::vector<int> here = test::experts_at(p.config.layout, 0, p.config.moe.experts, {place, places});
    if (std::find(here.begin(), here.end(), expert) != here.end()) return place;
  }
  return -1;
}

Crossings crossings_of(const LayerProblem& p) {
  const Layout& layout = p.groups.layout;
  const RoutingSample sample = sample_of(*p.pass);
  const int k = p.config.moe.top_k, first_rank = layout.group() * layout.expert_parallel;
  Crossings crossings;
  for (std::int64_t t = 0; t < p.rows().size(); ++t) {
    std::set<int> nodes;
    for (int j = 0; j < k; ++j) {
      if (!sample.kept[t * k + j]) continue;
      const int rank = first_rank + place_of(p, sample.experts[t * k + j]);
      if (p.groups.nodes.together(rank, layout.rank)) continue;
      ++crossings.choices;
      nodes.insert(p.config.layout.exchange == ExchangeKind::gather ? rank : p.groups.nodes.of[rank]);
    }
    crossings.tokens += static_cast<std::int64_t>(nodes.size());
  }
  return crossings;
}

/// Rows that all ranks sent to other nodes since the last time, forwards out and home, or backwards home and out.
std::pair<std::int64_t, std::int64_t> sent(LayerProblem& p) {
  const std::int64_t row = p.config.model.width * std::int64_t{sizeof(float)};
  std::int64_t bytes[2] = {p.timers.bytes_across[static_cast<int>(Phase::dispatch)],
                           p.timers.bytes_across[static_cast<int>(Phase::combine)]};
  comm::all_reduce_sum(p.groups.world, bytes, 2);
  p.timers.clear();
  return {bytes[0] / row, bytes[1] / row};
}

void check_case(const LayerCase& c, int expert_parallel) {
  LayerProblem p(MPI_COMM_WORLD, c, expert_parallel);
  p.forward();
  const Crossings mine = crossings_of(p);
  std::int64_t all[2] = {mine.choices, mine.tokens};
  comm::all_reduce_sum(p.groups.world, all, 2);
  const auto [choices, tokens] = all;
  const bool nodes = p.groups.by_nodes.has_value(), sums = nodes && sums_by_node(p.config, p.groups.layout);
  if (nodes && p.config.layout.seat_orders) {
    const int parts = p.groups.layout.group_nodes();
    EXPECT_EQ(sums, c.placed_within == parts && 4 % parts == 0) << "experts of one group on several nodes";
  }
  const std::int64_t out = nodes ? tokens : choices, home = sums ? tokens : choices;
  EXPECT_EQ(sent(p), std::pair(out, home)) << "forwards";
  p.backward();
  std::int64_t numbers = p.timers.bytes_across[static_cast<int>(Phase::router)] / std::int64_t{sizeof(float)};
  comm::all_reduce_sum(p.groups.world, &numbers, 1);
  EXPECT_EQ(numbers, sums ? choices : 0) << "gradients of weights";
  EXPECT_EQ(sent(p), std::pair(home, out)) << "backwards";
}

TEST(Journeys, EachTokenCrossesOnceToANode) {
  const int ranks = test::world_size();
  for (const ExchangeKind exchange :
       {ExchangeKind::pairwise, ExchangeKind::alltoallv, ExchangeKind::node, ExchangeKind::gather})
    for (const int ranks_per_node : test::degrees(ranks))
      for (const int expert_parallel : test::degrees(ranks))
        for (const auto& [groups, placed, within] :
             std::vector<std::tuple<int, unsigned, bool>>{{1, 0, false}, {4, 0, false}, {4, 5, false}, {4, 5, true}}) {
          if (exchange == ExchangeKind::node &&
              std::max(ranks_per_node, expert_parallel) % std::min(ranks_per_node, expert_parallel) != 0)
            continue;  // refused
          SCOPED_TRACE(std::to_string(ranks_per_node) + " a node, EP " + std::to_string(expert_parallel));
          LayerCase c{"crossings", 12, 4, 8};
          c.capacity = 0.9, c.exchange = exchange, c.combine_groups = groups, c.ranks_per_node = ranks_per_node;
          c.placed = placed, c.placed_within = within ? std::max(1, expert_parallel / ranks_per_node) : 1;
          check_case(c, expert_parallel);
        }
}

// 1 − C(E − some, k) / C(E, k) by the integers.
TEST(EvenLoads, TheShareOfTokensWithAChoiceAmongSome) {
  EXPECT_DOUBLE_EQ(share_with_one_among(2, 4, 2), 1.0 - 1.0 / 6.0);
  EXPECT_DOUBLE_EQ(share_with_one_among(1, 8, 1), 1.0 / 8.0);
  EXPECT_DOUBLE_EQ(share_with_one_among(3, 4, 2), 1.0);
  EXPECT_DOUBLE_EQ(share_with_one_among(0, 5, 3), 0.0);
  EXPECT_NEAR(3 * share_with_one_among(64, 256, 8), 2.71, 0.005);   // 256 experts, 8 choices, 4 nodes
  EXPECT_NEAR(15 * share_with_one_among(16, 256, 8), 6.12, 0.005);  // 16 nodes
}

}  // namespace
}  // namespace switchyard::moe::testing
