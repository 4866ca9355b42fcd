// ranks: 1 2 3
// The published bits: every run of the table gives them on any number of ranks and threads.
#include "train/golden.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "base/check.hpp"
#include "config/values.hpp"
#include "support/kinds.hpp"
#include "support/placement.hpp"
#include "support/world.hpp"
#include "tensor/products/library.hpp"
#include "train/bits.hpp"

namespace switchyard::train {
namespace {

using Lines = std::vector<std::string>;

TEST(Golden, EveryRunGivesThePublishedBits) {
  const std::string products = published_products();
  if (products != products::bits_depend_on()) GTEST_SKIP() << "published are the bits of " << products;
  for (const GoldenRun& run : golden_runs()) {
    const Lines published = published_bits_of(run.name);
    ASSERT_FALSE(published.empty()) << run.name << " is not published: add it with switchyard selfcheck --all --print";
    EXPECT_EQ(first_difference(trained_bits(run.config, comm::Communicator::duplicate(MPI_COMM_WORLD)), published), "")
        << run.name;
  }
}

/// The largest team that there can be, on one node, or of two.
int team_of(Config& config, bool two) {
  const int ranks = test::world_size(), chunks = config.moe.hidden_chunks;
  config.layout.exchange = ExchangeKind::pairwise;
  for (int team = two ? std::min(2, chunks) : chunks; team > 1; team /= 2)
    if (ranks % team == 0) return team;
  return 1;
}

// Of every run, in turn: schedules, lanes, some of which are without a grain, rows that go by nodes, transports,
// shards, what is made again, in all blocks or in the last one, and experts that live anywhere.
TEST(Golden, WhateverTheLayout) {
  if (published_products() != products::bits_depend_on()) GTEST_SKIP() << "other bits are published";
  const std::vector<ScheduleKind> schedules = test::all_of<ScheduleKind>();
  const std::vector<TransportChoice> transports = test::all_of<TransportChoice>();
  std::size_t turn = 0;
  for (GoldenRun run : golden_runs())
    for (const Recompute recompute : test::all_of<Recompute>()) {
      LayoutConfig& layout = run.config.layout;
      layout.schedule = schedules[(turn + turn / 3) % schedules.size()], layout.lanes = 1 << turn / 4 % 3;
      layout.recompute = recompute;
      layout.recompute_blocks.clear();
      if (turn % 5 == 0 && recompute != Recompute::none) layout.recompute_blocks = {run.config.model.blocks - 1};
      layout.exchange = (turn / 3 + 1) % 3 > 0 ? ExchangeKind::node : ExchangeKind::pairwise, layout.ranks_per_node = 1;
      layout.zero = turn / 2 % 2;
      layout.local_first = turn % 3 > 0 && run.config.train.determinism == Determinism::layout;
      if (run.config.moe.hidden_chunks > 1) layout.expert_tensor_parallel = team_of(run.config, turn % 2);
      layout.placement = contiguous_placement, layout.seat_orders = nullptr;
      if (turn % 4 != 1) test::place_at_random(run.config, static_cast<unsigned>(turn));
      layout.transport = transports[turn / 5 % transports.size()];
      ++turn;
      EXPECT_EQ(first_difference(trained_bits(run.config, comm::Communicator::duplicate(MPI_COMM_WORLD)),
                                 published_bits_of(run.name)),
                "")
          << run.name << ", schedule " << test::name_of(layout.schedule) << ", lanes " << layout.lanes << ", recompute "
          << test::name_of(recompute) << " in " << format_value(layout.recompute_blocks) << ", exchange "
          << test::name_of(layout.exchange) << " by " << test::name_of(layout.transport) << ", zero " << layout.zero
          << ", teams of " << layout.expert_tensor_parallel << ", placement " << layout.placement << ", local first "
          << layout.local_first;
    }
}

TEST(Golden, NothingElseIsPublished) {
  std::string expected, found;
  for (const GoldenRun& run : golden_runs()) expected += run.name + "\n";
  std::string last;
  std::istringstream text(published_bits());
  for (std::string line; std::getline(text, line);) {
    const std::string name = line.substr(0, line.find(" | "));
    if (line.starts_with('#') || name == last) continue;
    found += name + "\n", last = name;
  }
  EXPECT_EQ(found, expected);
}

/// Enumerators that no published run has.
template <class E, class F>
std::vector<std::string> unpublished(const F& of) {
  std::vector<std::string> missing;
  for (const E e : test::all_of<E>())
    if (std::none_of(golden_runs().begin(), golden_runs().end(), [&](const GoldenRun& r) { return of(r.config) == e; }))
      missing.push_back(test::name_of(e));
  return missing;
}

TEST(Golden, WhatCanBeChosenIsPublished) {
  const std::vector<std::string> none;
  EXPECT_EQ(unpublished<RouterKind>([](const Config& c) { return c.moe.router; }), none);
  EXPECT_EQ(unpublished<Normalise>([](const Config& c) { return c.moe.normalise; }), none);
  EXPECT_EQ(unpublished<GroupScore>([](const Config& c) { return c.moe.group_score; }), none);
  EXPECT_EQ(unpublished<AuxScope>([](const Config& c) { return c.moe.aux_scope; }), none);
  EXPECT_EQ(unpublished<BiasRule>([](const Config& c) { return c.moe.bias_rule; }), none);
  EXPECT_EQ(unpublished<BiasUnit>([](const Config& c) { return c.moe.bias_unit; }), none);
  EXPECT_EQ(unpublished<BiasSchedule>([](const Config& c) { return c.moe.bias_schedule; }), none);
  EXPECT_EQ(unpublished<ImportanceForm>([](const Config& c) { return c.moe.importance_form; }), none);
  EXPECT_EQ(unpublished<DropOrder>([](const Config& c) { return c.moe.drop_order; }), none);
  EXPECT_EQ(unpublished<Activation>([](const Config& c) { return c.model.activation; }), none);
  EXPECT_EQ(unpublished<AttentionKind>([](const Config& c) { return c.model.attention; }), none);
}

// A run that differs in the least number is seen, at the place where it first differs.
TEST(Golden, ADifferenceIsSeenAtItsPlace) {
  const GoldenRun& run = golden_runs().front();
  const Lines before = trained_bits(run.config, comm::Communicator::duplicate(MPI_COMM_WORLD));
  Config config = run.config;
  config.train.learning_rate *= 1.0 + 1e-7;
  const Lines after = trained_bits(config, comm::Communicator::duplicate(MPI_COMM_WORLD));
  ASSERT_EQ(after.size(), before.size());
  EXPECT_TRUE(first_difference(after, before).starts_with("step 1, parameters: ")) << first_difference(after, before);
  EXPECT_EQ(first_difference(before, Lines(before.begin(), before.end() - 1)),
            before.back() + ", published is nothing");
}

// One rank that computes otherwise ends all of them, wherever it is; its own bits say where.
TEST(Golden, AnyRankThatDiffersEndsAll) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  const std::string name = golden_runs().front().name;
  EXPECT_NO_THROW(require_published(world, name, published_bits_of(name)));
  for (int r = 0; r < world.size(); ++r) try {
      Lines lines = published_bits_of(name);
      if (world.rank() == r) lines[2].back() ^= 1;
      require_published(world, name, lines);
      ADD_FAILURE() << "rank " << r << " was not noticed";
    } catch (const AgreedError& e) {
      EXPECT_EQ(e.code(), Exit::layout_variant);
      EXPECT_EQ(std::string(e.what()).find("not the published bits: rank " + std::to_string(r) + ", run " + name +
                                           ", step 1, routing of block 1: "),
                0u)
          << e.what();
    }
}

}  // namespace
}  // namespace switchyard::train
