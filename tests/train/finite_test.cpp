// ranks: 1 2 4
// A value that is not finite is found on whatever rank it appears, named alike on all ranks, and nothing is updated.
#include "train/finite.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "comm/collectives.hpp"
#include "support/placement.hpp"
#include "train/parameters.hpp"
#include "train/step.hpp"
#include "train/synthetic.hpp"

namespace switchyard::train {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

/// Three blocks, the last one dense; top-2 of 5 experts, so that ranks hold unequally many.
Config make_config(int expert_parallel) {
  Config c;
  c.model.vocabulary = 61, c.model.width = 16, c.model.blocks = 3, c.model.heads = 2, c.model.context = 8;
  c.model.hidden = 24, c.model.tied = false;
  c.moe.experts_per_block = {5, 5, 0}, c.moe.top_k = 2, c.moe.hidden = 12, c.moe.shared_experts = 1;
  c.train.batch = 8, c.train.grains = 8, c.train.warmup = 1;
  c.layout.expert_parallel = expert_parallel;
  return c;
}

/// A value put into every element of a parameter, or of one expert's part of it, on the rank that holds it.
struct Planted {
  const char* parameter;
  int expert;  ///< 0 for a replicated parameter
  float value;
};

void plant(const Machine& m, const Planted& planted) {
  const Parameter& p = m.parameters[m.parameters.find(planted.parameter)];
  if (!std::binary_search(p.held.begin(), p.held.end(), planted.expert)) return;
  float* unit = m.parameters.values(p.placement).data() + p.offset + p.local_unit(planted.expert) * p.stride;
  test::write(unit, std::vector<float>(p.unit, planted.value));
}

std::vector<float> all_values(const Machine& m) {
  std::vector<float> all;
  for (const Placement placement : {Placement::replicated, Placement::expert}) {
    const std::vector<float> slab =
        test::read(m.parameters.values(placement).data(), m.parameters.slab_size(placement));
    all.insert(all.end(), slab.begin(), slab.end());
  }
  return all;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// What stops the first step of a model with these values in it, the same on every rank, with every placement (a seed;
/// 0 for none) and in waves (where that is odd).
std::optional<record::NonFinite> stopped_by(int expert_parallel, const std::vector<Planted>& values,
                                            unsigned placed = 0) {
  Config config = make_config(expert_parallel);
  if (placed > 0) test::place_at_random(config, placed);
  if (placed % 2 == 1)  // the first wave has been all the way back when the loss is known
    config.layout.schedule = ScheduleKind::interleaved, config.layout.lanes = 8, config.layout.waves = 4;
  Machine m(config, comm::Communicator::duplicate(MPI_COMM_WORLD));
  for (const Planted& p : values) plant(m, p);
  const std::vector<float> before = all_values(m);
  try {
    train_step(m, synthetic_batch(config, m.groups.layout, 1), 1);
  } catch (const NonFiniteError& e) {
    EXPECT_EQ(e.code(), Exit::non_finite);
    EXPECT_NE(std::string(e.what()).find("first in " + e.found().where), std::string::npos) << e.what();
    EXPECT_TRUE(same_bits(before, all_values(m))) << "nothing may be updated";
    const auto others = comm::all_gather(m.groups.world, std::string(e.what()));
    for (const std::string& other : others) EXPECT_EQ(other, e.what());
    return e.found();
  }
  return {};
}

struct Case {
  std::vector<Planted> values;
  int block, expert;
  const char* where;
};

TEST(Finite, TheLossNamesTheFirstBlockAndExpert) {
  const float infinity = std::numeric_limits<float>::infinity();
  const std::vector<Case> cases{
      {{{"blocks.1.moe.experts.down.weight", 3, nan}}, 1, 3, "block 1, expert 3"},
      {{{"blocks.0.moe.experts.up.weight", 4, infinity}}, 0, 4, "block 0, expert 4"},
      {{{"blocks.1.moe.experts.up.weight", 0, nan}, {"blocks.0.moe.experts.up.weight", 4, nan}},
       0,
       4,
       "block 0, expert 4"},
      {{{"blocks.1.moe.experts.up.weight", 4, nan}, {"blocks.1.moe.experts.up.weight", 1, nan}},
       1,
       1,
       "block 1, expert 1"},
      {{{"blocks.1.attention.o.weight", 0, nan}}, 1, -1, "block 1"},
      {{{"blocks.1.moe.router.weight", 0, nan}}, 1, -1, "block 1"},
      {{{"blocks.0.moe.shared.down.weight", 0, nan}}, 0, -1, "block 0"},
      {{{"blocks.2.feed_forward.up.weight", 0, nan}}, 2, -1, "block 2"},
      {{{"embedding.weight", 0, nan}}, -1, -1, "the embedding"},
      {{{"head.weight", 0, nan}}, -1, -1, "the head"}};
  for (const int degree : test::degrees())
    for (const Case& c : cases)
      for (const unsigned placed : {0, 1, 2}) {
        const auto found = stopped_by(degree, c.values, placed);
        ASSERT_TRUE(found) << c.where;
        EXPECT_EQ(found->step, 1);
        EXPECT_EQ(found->value, "loss");
        EXPECT_EQ(found->block, c.block) << c.where;
        EXPECT_EQ(found->expert, c.expert) << c.where;
        EXPECT_EQ(found->where, c.where);
      }
}

TEST(Finite, FiniteStepsAreNotStopped) { EXPECT_FALSE(stopped_by(0, {})); }

// Networks of 0 whose way back is 1e37 times what comes: the loss is finite, and so are the gradients of all but the
// matrix before, whose input is made large. Of two, the later one is met first.
TEST(Finite, AGradientStopsTheStepThoughTheLossIsFinite) {
  const std::vector<Planted> dense{{"blocks.2.feed_forward_norm.weight", 0, 1e6f},
                                   {"blocks.2.feed_forward.up.weight", 0, 0.0f},
                                   {"blocks.2.feed_forward.down.weight", 0, 1e37f}};
  const std::vector<Planted> experts{
      {"blocks.1.feed_forward_norm.weight", 0, 1e6f},
      {"blocks.1.moe.router.weight", 0, 0.0f},  // so that all tokens choose experts 0 and 1
      {"blocks.1.moe.shared.up.weight", 0, 0.0f},
      {"blocks.1.moe.experts.up.weight", 0, 0.0f},
      {"blocks.1.moe.experts.up.weight", 1, 0.0f},
      {"blocks.1.moe.experts.down.weight", 1, 1e37f}};
  for (const int degree : test::degrees()) {
    const auto of_dense = stopped_by(degree, dense), of_expert = stopped_by(degree, experts);
    ASSERT_TRUE(of_dense) << "of dense";
    ASSERT_TRUE(of_expert) << "of an expert";
    EXPECT_EQ(of_dense->value, "gradient");
    EXPECT_EQ(of_dense->where, "blocks.2.feed_forward.up.weight of block 2");
    EXPECT_EQ(of_expert->value, "gradient");
    EXPECT_EQ(of_expert->where, "blocks.1.moe.experts.up.weight of block 1, expert 1");
    EXPECT_EQ(of_expert->block, 1);
    EXPECT_EQ(of_expert->expert, 1);
    EXPECT_EQ(stopped_by(degree, experts, 3).value().where, of_expert->where) << "placed";
    std::vector<Planted> both = experts;
    both.insert(both.end(), dense.begin(), dense.end());
    EXPECT_EQ(stopped_by(degree, both).value().where, of_dense->where);
  }
}

// No place in the model is to blame where a coefficient alone has made the sum of finite losses infinite.
TEST(Finite, ALossThatNoPlaceExplainsIsABalancingOne) {
  Machine m(make_config(0), comm::Communicator::duplicate(MPI_COMM_WORLD));
  m.model->forward(m.queue(), synthetic_batch(m.config, m.groups.layout, 1), moe::Pass::train);
  m.model->reduce(m.queue());
  EXPECT_NO_THROW(require_finite_loss(m, 1e300, 4));
  for (const double loss : {double(nan), double(INFINITY), -double(INFINITY)}) try {
      require_finite_loss(m, loss, 4);
      ADD_FAILURE() << loss;
    } catch (const NonFiniteError& e) {
      EXPECT_EQ(e.found().where, "a balancing loss");
      EXPECT_EQ(e.found().block, -1);
      EXPECT_EQ(std::string(e.what()).find("step 4: the loss is not finite (first in a balancing loss; nothing was "),
                0u);
    }
}

record::NonFinite stopped_by_gradient(const char* parameter, int expert) {
  const Machine m(make_config(0), comm::Communicator::duplicate(MPI_COMM_WORLD));
  try {
    require_finite_gradient(m, {INFINITY, parameter, expert}, 7);
  } catch (const NonFiniteError& e) {
    return e.found();
  }
  ADD_FAILURE() << "not stopped";
  return {};
}

TEST(Finite, TheGradientNamesParameterBlockAndExpert) {
  const record::NonFinite expert = stopped_by_gradient("blocks.1.moe.experts.up.weight", 3);
  EXPECT_EQ(expert.step, 7);
  EXPECT_EQ(expert.value, "gradient");
  EXPECT_EQ(expert.block, 1);
  EXPECT_EQ(expert.expert, 3);
  EXPECT_EQ(expert.where, "blocks.1.moe.experts.up.weight of block 1, expert 3");
  const record::NonFinite head = stopped_by_gradient("head.weight", -1);
  EXPECT_EQ(head.block, -1);
  EXPECT_EQ(head.where, "head.weight");
}

TEST(Finite, TheRecordIsJsonWithNullWhereNothingIsNamed) {
  const auto json = nlohmann::json::parse(record::non_finite_json({12, "loss", 3, 5, "block 3, expert 5"}));
  EXPECT_EQ(json, nlohmann::json::parse(R"({"schema": "switchyard-non-finite", "schema_version": 1, "step": 12,
    "value": "loss", "block": 3, "expert": 5, "where": "block 3, expert 5"})"));
  EXPECT_TRUE(nlohmann::json::parse(record::non_finite_json({1, "loss", -1, -1, "the head"}))["block"].is_null());
}

}  // namespace
}  // namespace switchyard::train
