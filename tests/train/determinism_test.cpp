// ranks: 1 2 3 4
// train.determinism: run sums a gradient over all rows of a rank in one chain: on one layout the same bits again, and
// of one step the routing and losses of `layout` to the bit and its gradients up to rounding.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support/parameters.hpp"
#include "support/world.hpp"
#include "train/bits.hpp"
#include "train/step.hpp"
#include "train/synthetic.hpp"

namespace switchyard::train {
namespace {

Config base(Determinism determinism) {
  Config c;
  c.model = {.vocabulary = 61, .width = 24, .blocks = 2, .heads = 4, .kv_heads = 2, .context = 12, .hidden = 40};
  c.model.init_std = 0.1;
  c.moe.experts = 8, c.moe.top_k = 2, c.moe.hidden = 20, c.moe.aux_loss = 0.01;
  c.train.batch = 16, c.train.grains = 8, c.train.steps = 2, c.train.warmup = 1, c.train.learning_rate = 1e-2;
  c.train.determinism = determinism;
  return c;
}

struct Case {
  std::string name;
  void (*change)(Config&);
};

const std::vector<Case> cases{
    {"plain", [](Config&) {}},
    {"capacity", [](Config& c) { c.moe.capacity_factor = 0.75, c.moe.bias_rule = BiasRule::sign; }},
    {"odd_experts_gated_shared_untied",
     [](Config& c) {
       c.moe.experts = 5, c.moe.shared_experts = 1, c.model.activation = Activation::swiglu, c.model.tied = false;
     }},
    {"dense_and_one_expert",
     [](Config& c) {
       c.moe.experts_per_block = {0, 1}, c.moe.top_k = 1;
     }},
    {"four_grains", [](Config& c) { c.train.grains = 4, c.moe.experts = 7; }},
    {"two_grains", [](Config& c) { c.train.grains = 2, c.moe.aux_scope = AuxScope::grain; }},
    {"one_grain", [](Config& c) { c.train.grains = 1, c.moe.router = RouterKind::noisy_topk; }},
};

Config config_of(const Case& test, Determinism determinism, int expert_parallel) {
  Config c = base(determinism);
  test.change(c);
  c.layout.expert_parallel = expert_parallel;
  return c;
}

std::vector<std::string> bits(const Config& config) {
  return trained_bits(config, comm::Communicator::duplicate(MPI_COMM_WORLD));
}

/// A machine after the first step.
struct Stepped {
  explicit Stepped(const Config& config) : machine(config, comm::Communicator::duplicate(MPI_COMM_WORLD)) {
    result = train_step(machine, synthetic_batch(config, machine.groups.layout, 1), 1);
  }
  Machine machine;
  StepResult result;
};

void expect_same_routing(const Machine& one, const Machine& other) {
  const auto layers = one.model->moe_layers(), others = other.model->moe_layers();
  for (std::size_t l = 0; l < layers.size(); ++l) {
    EXPECT_EQ(layers[l]->statistics().assigned, others[l]->statistics().assigned);
    EXPECT_EQ(layers[l]->statistics().kept, others[l]->statistics().kept);
    EXPECT_EQ(layers[l]->statistics().prob_mass, others[l]->statistics().prob_mass);
  }
}

/// Difference of two vectors over the length of the first; both may be 0.
double difference(const std::vector<float>& one, const std::vector<float>& other) {
  double squares = 0.0, length = 0.0;
  for (std::size_t i = 0; i < one.size(); ++i) {
    squares += (double(one[i]) - other[i]) * (double(one[i]) - other[i]);
    length += double(one[i]) * one[i];
  }
  return squares == 0.0 ? 0.0 : std::sqrt(squares / length);
}

void expect_near_gradients(const Machine& one, const Machine& other) {
  for (const Parameter& p : one.parameters.all()) {
    const auto sums = [&](const Machine& m) {
      return test::read_units(m.gradients.slab[static_cast<int>(p.placement)].data(), p);
    };
    EXPECT_LT(difference(sums(one), sums(other)), 2e-6) << p.name;
  }
}

TEST(Run, HasTheFirstStepOfLayoutUpToRounding) {
  for (const Case& test : cases)
    for (const int degree : test::degrees()) {
      SCOPED_TRACE(test.name + ", EP " + std::to_string(degree));
      const Stepped run(config_of(test, Determinism::run, degree)),
          layout(config_of(test, Determinism::layout, degree));
      for (const Placement p : {Placement::replicated, Placement::expert})
        EXPECT_LE(run.machine.parameters.nodes(p).size(), 1u);
      expect_same_routing(run.machine, layout.machine);
      EXPECT_EQ(run.result.loss.total(), layout.result.loss.total());
      expect_near_gradients(layout.machine, run.machine);
      EXPECT_NEAR(run.result.gradient_norm / layout.result.gradient_norm, 1.0, 1e-6);
    }
}

TEST(Run, GivesTheSameBitsAgainAndOtherOnesThanLayoutWhereARankHasManyGrains) {
  for (const Case& test : cases)
    for (const int degree : test::degrees()) {
      const auto found = bits(config_of(test, Determinism::run, degree));
      EXPECT_EQ(bits(config_of(test, Determinism::run, degree)), found) << test.name << ", EP " << degree;
      const Config layout = config_of(test, Determinism::layout, degree);
      if (degree > 1 && layout.train.grains <= test::world_size()) continue;  // equal, or other bits: as groups fall
      EXPECT_EQ(bits(layout) == found, layout.train.grains <= test::world_size()) << test.name << ", EP " << degree;
    }
}

/// Ways by nodes of every size that a group of so many ranks can have, handed on and gathered there.
std::vector<Config> by_nodes(const Case& test, Determinism determinism, int expert_parallel) {
  std::vector<Config> all;
  for (const ExchangeKind exchange : {ExchangeKind::node, ExchangeKind::gather})
    for (const int ranks_per_node : test::degrees(expert_parallel)) {
      all.push_back(config_of(test, determinism, expert_parallel));
      all.back().layout.exchange = exchange, all.back().layout.ranks_per_node = ranks_per_node;
    }
  for (Config& c : all) c.moe.combine_groups = 4;
  return all;
}

// The rows of an expert come in another order where several ranks of a node hand rows on to it, and else in that of
// rows that go straight.
TEST(Run, ByNodesGivesTheSameBitsAgain) {
  int others = 0;
  for (const Case& test : cases)
    for (const int degree : test::degrees()) {
      Config straight = config_of(test, Determinism::run, degree);
      straight.moe.combine_groups = 4;
      const auto expected = bits(straight);
      for (const Config& config : by_nodes(test, Determinism::run, degree)) {
        const int near = config.layout.ranks_per_node;
        SCOPED_TRACE(test.name + ", EP " + std::to_string(degree) + ", " + std::to_string(near) + " a node");
        const auto found = bits(config);
        EXPECT_EQ(bits(config), found);
        if (near == 1 || near == degree)
          EXPECT_EQ(found, expected);
        else
          others += found != expected;
      }
    }
  EXPECT_EQ(others > 0, test::world_size() == 4) << "in one order only";
}

TEST(Run, ByNodesHasTheFirstStepOfLayoutUpToRounding) {
  for (const Case& test : cases)
    for (const int degree : test::degrees()) {
      const std::vector<Config> runs = by_nodes(test, Determinism::run, degree),
                                layouts = by_nodes(test, Determinism::layout, degree);
      for (std::size_t i = 0; i < runs.size(); ++i) {
        SCOPED_TRACE(test.name + ", EP " + std::to_string(degree) + ", way " + std::to_string(i));
        const Stepped run(runs[i]), layout(layouts[i]);
        expect_same_routing(run.machine, layout.machine);
        EXPECT_EQ(run.result.loss.total(), layout.result.loss.total());
        expect_near_gradients(layout.machine, run.machine);
      }
    }
}

}  // namespace
}  // namespace switchyard::train
