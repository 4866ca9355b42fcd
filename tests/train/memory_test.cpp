// ranks: 1 2 3 4 5
// What check predicts is what the allocator is asked for: every byte of a machine and its first steps.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <numeric>

#include "config/routers.hpp"
#include "support/kinds.hpp"
#include "train/allocated.hpp"

namespace switchyard::train {
namespace {

Config base() {
  Config c;
  c.model = {.vocabulary = 96, .width = 32, .blocks = 3, .heads = 4, .context = 16, .hidden = 48};
  c.moe.hidden = 40, c.moe.top_k = 2, c.moe.aux_loss = 0.01;
  c.train.batch = 16, c.train.grains = 8;
  c.layout.threads = Host().concurrency();
  return c;
}

void by_twos(Config& c) {
  const int ranks = test::world_size();
  c.layout.exchange = ExchangeKind::node, c.layout.ranks_per_node = ranks % 2 == 0 ? 2 : 1;
}

/// As many ranks as can be, of at most `chunks`, share each expert.
void in_teams(Config& c, int chunks) {
  c.moe.hidden_chunks = chunks, c.layout.expert_tensor_parallel = std::gcd(chunks, test::world_size());
}

const std::vector<std::function<void(Config&)>> changes{
    [](Config&) {},
    [](Config& c) { c.model.tied = false, c.model.kv_heads = 2, c.model.activation = Activation::swiglu; },
    [](Config& c) { c.moe.shared_experts = 2; },
    [](Config& c) { c.moe.experts = 0; },
    [](Config& c) { c.moe.experts = 1, c.moe.top_k = 1; },
    [](Config& c) { c.moe.experts = 257, c.moe.every = 2; },
    [](Config& c) {
      c.moe.experts_per_block = {0, 3, 5};
    },
    [](Config& c) { c.layout.expert_parallel = 1; },
    [](Config& c) { c.train.grains = 2; },
    [](Config& c) { c.train.determinism = Determinism::run, c.moe.shared_experts = 1; },
    [](Config& c) { c.train.determinism = Determinism::run, c.layout.expert_parallel = 1; },
    [](Config& c) { c.layout.lanes = 2, c.layout.schedule = ScheduleKind::interleaved; },
    [](Config& c) { c.layout.exchange = ExchangeKind::node, c.layout.ranks_per_node = 1; },
    [](Config& c) { c.layout.exchange = ExchangeKind::node, c.layout.ranks_per_node = 1, c.moe.combine_groups = 8; },
    [](Config& c) { c.layout.exchange = ExchangeKind::node, c.layout.ranks_per_node = 1, c.layout.lanes = 4; },
    [](Config& c) {  // unlike nodes, and unlike ranks on them, where there are four
      by_twos(c), c.moe.experts = 5, c.train.batch = 10, c.train.grains = 5;
    },
    [](Config& c) {
      by_twos(c), c.moe.experts = 5, c.train.grains = 4, c.moe.combine_groups = 2;
      c.layout.recompute = Recompute::blocks, c.layout.zero = 1;
    },
    [](Config& c) { c.train.determinism = Determinism::run, c.train.grains = 4; },
    [](Config& c) { c.layout.recompute = Recompute::experts; },
    [](Config& c) { c.layout.recompute = Recompute::blocks; },
    [](Config& c) { c.layout.recompute = Recompute::blocks, c.layout.expert_parallel = 1; },
    [](Config& c) {
      c.moe.experts_per_block = {0, 3, 5}, c.moe.shared_experts = 1, c.model.activation = Activation::swiglu;
      c.layout.recompute = Recompute::blocks, c.layout.recompute_blocks = {0, 2};
    },
    [](Config& c) { c.layout.recompute = Recompute::blocks, c.moe.experts = 257, c.model.vocabulary = 4096; },
    [](Config& c) { in_teams(c, 2), c.moe.hidden_chunks = 8; },
    [](Config& c) {
      in_teams(c, 4), c.model.activation = Activation::swiglu, c.moe.shared_experts = 1, c.layout.zero = 1;
    },
    [](Config& c) { in_teams(c, 2), c.layout.recompute = Recompute::experts, c.moe.experts = 5; },
    [](Config& c) { c.layout.zero = 1; },
    [](Config& c) { c.layout.zero = 1, c.layout.expert_parallel = 1, c.moe.experts = 16; },
    [](Config& c) { c.layout.zero = 1, c.model.tied = false, c.train.determinism = Determinism::run; },
    [](Config& c) {
      c.layout.zero = 1, c.layout.expert_parallel = 1, c.moe.experts_per_block = {7, 3, 5};
    },
};

/// And every router, and every attention.
std::vector<std::function<void(Config&)>> with_kinds(std::vector<std::function<void(Config&)>> all) {
  for (const RouterKind router : test::all_of<RouterKind>())
    all.push_back([=](Config& c) {
      c.moe.router = router, c.moe.aux_loss = 0.0, c.moe.normalise = traits_of(router).normalise.front();
    });
  for (const AttentionKind attention : test::all_of<AttentionKind>())
    all.push_back([=](Config& c) { c.model.attention = attention; });
  return all;
}

TEST(Memory, IsWhatTheAllocatorIsAskedFor) {
  if (!on_host) GTEST_SKIP() << "a device has copies for the host beside its own";
  const auto all = with_kinds(changes);
  for (std::size_t i = 0; i < all.size(); ++i) {
    Config config = base();
    all[i](config);
    const Compared of = compare(config, std::to_string(i));
    EXPECT_GT(of.measured, 0.97 * of.predicted) << i;
    EXPECT_LT(of.measured, 1.03 * of.predicted + (of.growth - 1.0) * of.uneven) << i;
  }
}

/// Bytes that Kokkos is asked for by a machine and its first step.
std::int64_t measured(const Config& config) {
  const Counted counted;
  Machine machine(config, comm::Communicator::duplicate(MPI_COMM_WORLD));
  train_step(machine, synthetic_batch(config, machine.groups.layout, 1), 1);
  return allocated;
}

/// Bytes that a rank takes less than with all kept. Rooms of expert rows begin a sixteenth larger (tensor/room.hpp).
struct Less {
  double measured, predicted;
};

Less less(Config config, Recompute recompute, const std::vector<int>& blocks) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  const auto predicted = [&] {
    const RankBytes bytes = rank_bytes(config, world.size()).at(world.rank());
    return bytes.total() + bytes.expert_rows / 16;
  };
  const std::int64_t all = measured(config), of_all = predicted();
  config.layout.recompute = recompute, config.layout.recompute_blocks = blocks;
  return {static_cast<double>(all - measured(config)), static_cast<double>(of_all - predicted())};
}

// Rows do not travel, or loads would decide about them.
TEST(Memory, FallsByWhatIsMadeAgainAsPredicted) {
  if (!on_host) GTEST_SKIP() << "a device has copies for the host beside its own";
  Config c = base();
  c.model.blocks = 6, c.model.context = 64, c.moe.every = 2, c.layout.expert_parallel = 1;
  for (const int lanes : {1, 2}) {
    c.layout.lanes = lanes;
    const std::vector<int> some{1, 2, 3}, all;  // blocks 1, 3 and 5 are mixtures
    const Less of[] = {less(c, Recompute::experts, some), less(c, Recompute::experts, all),
                       less(c, Recompute::blocks, some), less(c, Recompute::blocks, all)};
    for (const Less& l : of) EXPECT_NEAR(l.measured, l.predicted, 0.03 * l.predicted);
    EXPECT_GT(of[0].measured, 0.0);
    EXPECT_GT(of[1].measured, of[0].measured);
    EXPECT_GT(of[2].measured, of[0].measured);
    EXPECT_GT(of[3].measured, std::max(of[1].measured, of[2].measured));
  }
}

TEST(Memory, GrowsAffinelyInTheNumberOfExperts) {
  Config c = base();
  std::vector<std::int64_t> totals;
  for (const int experts : {128, 256, 384}) {
    c.moe.experts = experts;
    const RankBytes bytes = rank_bytes(c, 2).front();
    totals.push_back(bytes.total() - bytes.transient);  // a sum is of a part of the gradients at a time
  }
  EXPECT_NEAR(static_cast<double>(totals[1] - totals[0]), static_cast<double>(totals[2] - totals[1]), 4096.0);
  EXPECT_GT(totals[1], totals[0]);
}

TEST(Memory, RanksBeyondTheGrainsHaveNoRowsOfTheirOwn) {
  Config c = base();
  c.train.grains = 2;
  const auto bytes = rank_bytes(c, 3);
  EXPECT_LT(bytes[0].scratch, bytes[1].scratch) << "grain 0 of 2 starts on rank 1 of 3";
  EXPECT_GT(bytes[0].gradients, 0);
}

TEST(Memory, OfRunIsThatOfOneNodeARankWhateverItsGrains) {
  Config c = base();
  for (const int ranks : {1, 3, 5}) {
    c.train.determinism = Determinism::layout;
    const auto of_layout = rank_bytes(c, ranks);
    c.train.determinism = Determinism::run;
    const auto of_run = rank_bytes(c, ranks);
    for (int r = 0; r < ranks; ++r) {
      EXPECT_EQ(of_run[r].gradients, of_run[r].parameters) << r << " of " << ranks;
      EXPECT_EQ(of_run[r].activations, of_layout[r].activations) << r << " of " << ranks;
      EXPECT_LE(of_run[r].total(), of_layout[r].total()) << r << " of " << ranks;
    }
  }
}

// Two moments of every parameter are somewhere once; of experts once a group that shares them, so EP · (E / EP).
TEST(Memory, OfShardsIsOneCopyOfTheMomentsAmongAllRanks) {
  for (const int ranks : {1, 2, 3, 4, 8, 200})
    for (const int ep : {1, ranks}) {
      Config c = base();
      c.moe.experts = 12, c.model.tied = false, c.train.batch = c.train.grains = 256, c.layout.expert_parallel = ep;
      const auto whole = rank_bytes(c, ranks);
      c.layout.zero = 1;
      const auto parts = rank_bytes(c, ranks);
      std::int64_t sum = 0, most = 0, least = parts[0].moments;
      for (int r = 0; r < ranks; ++r) {
        sum += parts[r].moments, most = std::max(most, parts[r].moments), least = std::min(least, parts[r].moments);
        EXPECT_EQ(parts[r].total() - parts[r].moments - parts[r].transient,
                  whole[r].total() - whole[r].moments - whole[r].transient)
            << "nothing else changes";
      }
      Config one = c;
      one.layout.expert_parallel = 1;
      EXPECT_EQ(sum, rank_bytes(one, 1)[0].moments) << ranks << " ranks, EP " << ep;
      if (ep == 1) {
        EXPECT_LE(most - least, 2 * 2 * 4 * unit_block) << "of either slab a block, two moments";
      }
    }
}

TEST(Memory, IsTheSameFromEveryRanksView) {
  Config c = base();
  c.train.grains = 5, c.train.batch = 10;
  const auto bytes = rank_bytes(c, 4);
  ASSERT_EQ(bytes.size(), 4u);
  EXPECT_EQ(rank_bytes(c, 4)[3].total(), bytes[3].total());
}

TEST(Memory, OfManyRanksIsReckonedByKind) {
  for (const int zero : {0, 1}) {
    Config c = base();
    c.layout.zero = zero;
    c.model.blocks = 64, c.moe.experts = 4096;
    c.train.batch = c.train.grains = 3 << 12;
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(rank_bytes(c, 1 << 14).size(), std::size_t{1} << 14);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  }
}

}  // namespace
}  // namespace switchyard::train
