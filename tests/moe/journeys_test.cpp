// ranks: 1 2 3 4 6 8
// What crosses between nodes on the four journeys, counted from what was chosen: each choice where rows go straight,
// each token once a node where they go by nodes, gathered there or not; and inside nodes where they are gathered.
#include "moe/journeys.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <optional>
#include <ostream>
#include <set>
#include <tuple>

#include "layer_problem.hpp"

namespace switchyard::moe::testing {
namespace {

/// Rows of this rank's tokens that leave a rank: of choices, and of tokens where these go once.
struct Rows {
  std::int64_t choices = 0, tokens = 0;
};
struct Crossings {
  Rows across;  ///< to another node
  Rows inside;  ///< to another rank of a node, from this one or the one that got the row there
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

/// The rank of a node that gets rows of this rank's tokens: that of its number there, or itself where none go by nodes.
int mate_of(const LayerProblem& p, int rank) {
  const Layout& layout = p.groups.layout;
  if (layout.legs().empty() || !layout.legs().front().rail || p.groups.nodes.together(rank, layout.rank))
    return p.groups.nodes.together(rank, layout.rank) ? layout.rank : rank;
  return rank - layout.place_of(rank) % layout.node_places + layout.place() % layout.node_places;
}

Crossings crossings_of(const LayerProblem& p) {
  const Layout& layout = p.groups.layout;
  const RoutingSample sample = sample_of(*p.pass);
  const int k = p.config.moe.top_k, first_rank = layout.group() * layout.expert_parallel;
  Crossings crossings;
  for (std::int64_t t = 0; t < p.rows().size(); ++t) {
    std::set<int> nodes, ranks;
    for (int j = 0; j < k; ++j) {
      if (!sample.kept[t * k + j]) continue;
      const int rank = first_rank + place_of(p, sample.experts[t * k + j]), mate = mate_of(p, rank);
      if (mate != rank) ++crossings.inside.choices, ranks.insert(rank);
      if (p.groups.nodes.together(rank, layout.rank)) continue;
      ++crossings.across.choices;
      nodes.insert(p.groups.nodes.of[rank]);
    }
    crossings.across.tokens += static_cast<std::int64_t>(nodes.size());
    crossings.inside.tokens += static_cast<std::int64_t>(ranks.size());
  }
  std::int64_t* all[] = {&crossings.across.choices, &crossings.across.tokens, &crossings.inside.choices,
                         &crossings.inside.tokens};
  for (std::int64_t* count : all) comm::all_reduce_sum(p.groups.world, count, 1);
  return crossings;
}

/// What all ranks sent since the last time, across nodes and inside: rows forwards out and home, or backwards home and
/// out, and numbers of weights.
struct Sent {
  std::int64_t first = 0, second = 0, numbers = 0;
  bool operator==(const Sent&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Sent& s) {
  return out << s.first << " " << s.second << " and " << s.numbers << " numbers";
}

std::pair<Sent, Sent> sent(LayerProblem& p) {
  const std::int64_t row = p.config.model.width * std::int64_t{sizeof(float)};
  std::int64_t bytes[2][3];
  const Phase phases[] = {Phase::dispatch, Phase::combine, Phase::router};
  for (int i = 0; i < 3; ++i) {
    const auto phase = static_cast<std::size_t>(phases[i]);
    bytes[0][i] = p.timers.bytes_across[phase], bytes[1][i] = p.timers.bytes[phase] - bytes[0][i];
  }
  comm::all_reduce_sum(p.groups.world, bytes[0], 6);
  p.timers.clear();
  const auto of = [&](const std::int64_t* b) {
    return Sent{b[0] / row, b[1] / row, b[2] / std::int64_t{sizeof(float)}};
  };
  return {of(bytes[0]), of(bytes[1])};
}

/// Whether every expert is in the part of the group, so many places each, that has it without a placement, and these
/// are whole groups of moe.combine_groups.
bool sums_are_whole(const LayerProblem& p, int width) {
  const int places = p.groups.layout.expert_parallel, parts = places / width, experts = p.config.moe.experts;
  for (int place = 0; place < places; ++place)
    for (int e = experts * place / places; e < experts * (place + 1) / places; ++e)
      if (place_of(p, e) / width != place / width) return false;
  return (parts & (parts - 1)) == 0 && p.config.moe.combine_groups % parts == 0;
}

/// Rows out and home, and numbers on the way home, of those that leave a rank on a leg, or of no leg.
void expect_sent(const Sent& forwards, const Sent& backwards, const Rows& rows, std::optional<bool> sums) {
  const std::int64_t out = sums ? rows.tokens : rows.choices, home = sums.value_or(false) ? rows.tokens : rows.choices;
  EXPECT_EQ(forwards, (Sent{out, home, 0})) << "forwards";
  EXPECT_EQ(backwards, (Sent{home, out, sums.value_or(false) ? rows.choices : 0})) << "backwards";
}

void check_case(const LayerCase& c, int expert_parallel) {
  LayerProblem p(MPI_COMM_WORLD, c, expert_parallel);
  p.forward();
  const Crossings rows = crossings_of(p);
  std::optional<bool> across, inside;  // whether a leg goes there, and sums come home on it
  for (const Leg& leg : p.groups.layout.legs()) (leg.rail ? across : inside) = sums_are_whole(p, leg.width);
  const auto [forwards_across, forwards_inside] = sent(p);
  p.backward();
  const auto [backwards_across, backwards_inside] = sent(p);
  SCOPED_TRACE("across nodes, then inside");
  expect_sent(forwards_across, backwards_across, rows.across, across);
  expect_sent(forwards_inside, backwards_inside, rows.inside, inside);
}

TEST(Journeys, EachTokenLeavesOnceForEachPart) {
  const int ranks = test::world_size();
  for (const ExchangeKind exchange :
       {ExchangeKind::pairwise, ExchangeKind::alltoallv, ExchangeKind::node, ExchangeKind::gather})
    for (const int ranks_per_node : test::degrees(ranks))
      for (const int expert_parallel : test::degrees(ranks))
        for (const auto& [groups, placed, within] : std::vector<std::tuple<int, unsigned, bool>>{
                 {1, 0, false}, {2, 0, false}, {8, 0, false}, {4, 5, false}, {8, 5, true}}) {
          if ((exchange == ExchangeKind::node || exchange == ExchangeKind::gather) &&
              std::max(ranks_per_node, expert_parallel) % std::min(ranks_per_node, expert_parallel) != 0)
            continue;  // refused
          SCOPED_TRACE(std::to_string(ranks_per_node) + " a node, EP " + std::to_string(expert_parallel));
          LayerCase c{"crossings", 12, 4, 8};
          c.capacity = 0.9, c.exchange = exchange, c.combine_groups = groups, c.ranks_per_node = ranks_per_node;
          c.placed = placed;
          for (const int parts :
               within ? std::vector{std::max(1, expert_parallel / ranks_per_node), expert_parallel} : std::vector{1}) {
            c.placed_within = parts;
            check_case(c, expert_parallel);
          }
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
