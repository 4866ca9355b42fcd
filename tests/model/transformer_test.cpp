// ranks: 1 2 3 4 8
// The whole model: its objective and gradients against differences of the double reference, and the same bits on any
// number of ranks.
#include "model/transformer.hpp"

#include <mpi.h>

#include "comm/collectives.hpp"
#include "model/support.hpp"
#include "reference/transformer.hpp"
#include "support/passes.hpp"

namespace switchyard {
namespace {

using namespace test;

struct Tokens {
  std::vector<int> tokens, targets;  // of the global batch
};

Tokens random_tokens(const Config& config) {
  std::mt19937 engine(3);
  Tokens t;
  for (std::int64_t i = 0; i < config.step_tokens(); ++i) {
    t.tokens.push_back(engine() % config.model.vocabulary);
    t.targets.push_back(engine() % config.model.vocabulary);
  }
  return t;
}

/// A model on the ranks of a communicator, and what a step needs around it.
struct Trial {
  Trial(const Config& c, MPI_Comm comm, int expert_parallel = 0)
      : config(c),
        groups(comm::Communicator::duplicate(comm), expert_parallel, c.train.grains),
        exchange(comm::make_exchange(c.layout.exchange, groups.expert)),
        parameters(groups.layout, architecture(config)),
        model(moe::LayerContext{config, groups, *exchange, parameters, timers}) {
    parameters.allocate(config.train.seed);
  }

  data::Batch batch() const {
    const Tokens all = random_tokens(config);
    const Range grains = groups.layout.my_grains();
    data::Batch b;
    b.context = config.model.context;
    b.sequences = {grains.first * config.grain_sequences(), grains.last * config.grain_sequences()};
    const auto first = b.sequences.first * b.context, last = b.sequences.last * b.context;
    b.tokens.assign(all.tokens.begin() + first, all.tokens.begin() + last);
    b.targets.assign(all.targets.begin() + first, all.targets.begin() + last);
    b.position.assign(b.sequences.size(), 0);
    return b;
  }

  model::LossParts step() {
    model.forward(batch(), moe::Pass::train);
    const model::LossParts loss = model.reduce();
    run_backward(model, config);
    return loss;
  }

  /// Gradient slab of a placement, summed over the grains of the global batch.
  std::vector<float> reduced(Placement placement) {
    const bool expert = placement == Placement::expert;
    const comm::Communicator& ranks = expert ? groups.expert_data : groups.world;
    const auto nodes = expert ? groups.layout.nodes_of_groups() : groups.layout.nodes_of_ranks();
    const auto mine = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), parameters.gradients(placement));
    std::vector<float> sum(parameters.slab_size(placement));
    const auto n = static_cast<Index>(sum.size());
    comm::tree_all_reduce(ranks, nodes, {mine.data(), n, n, sum.data()}, timers);
    return sum;
  }

  Config config;
  comm::Groups groups;
  std::unique_ptr<comm::Exchange> exchange;
  ParameterSet parameters;
  Timers timers;
  model::Transformer model;
};

int world_size() {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

/// Larger weights than a run starts from, so that every gradient is far from zero.
Config sharp(Config config) {
  config.model.init_std = 0.25;
  return config;
}

Config with_experts() {
  Config config = small_config();
  config.moe.experts = 5;
  config.moe.top_k = 2;
  config.moe.hidden = 12;
  config.moe.first_dense = 1;
  config.train.grains = 3;
  return config;
}

struct Case {
  std::string name;
  Config config;
  friend void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }
};

std::vector<Case> cases() {
  std::vector<Case> all{{"dense", small_config()}, {"experts", with_experts()}};
  all.push_back({"untied_gated_shared_keys", small_config()});
  all.back().config.model = {.vocabulary = 37,
                             .width = 24,
                             .blocks = 2,
                             .heads = 6,
                             .kv_heads = 2,
                             .context = 10,
                             .hidden = 20,
                             .activation = Activation::swiglu,
                             .tied = false,
                             .z_loss = 0.1};
  all.push_back({"one_grain_relu", small_config()});
  all.back().config.train.grains = 1;
  all.back().config.model.activation = Activation::relu;
  all.push_back({"gated_experts_untied", with_experts()});
  all.back().config.model.activation = Activation::swiglu;
  all.back().config.model.tied = false;
  all.back().config.moe.first_dense = 0;
  for (Case& c : all) c.config = sharp(c.config);
  return all;
}

class Transformer : public testing::TestWithParam<Case> {};

TEST_P(Transformer, ObjectiveAndGradientsAgreeWithReference) {
  if (world_size() > 1) GTEST_SKIP() << "the run on one rank is enough";
  Trial run(GetParam().config, MPI_COMM_SELF);
  reference::Weights weights;
  for (const Parameter& p : run.parameters.all())
    if (p.adds_to.empty()) {
      const auto values = read_units(run.parameters.values(p.placement).data(), p);
      weights[p.name] = Doubles(values.begin(), values.end());
    }
  const Tokens t = random_tokens(run.config);
  const double expected = reference::objective(run.config, weights, t.tokens, t.targets);
  EXPECT_NEAR(run.step().total(), expected, 2e-5 * expected);
  std::mt19937 engine(1);
  for (const Parameter& p : run.parameters.all()) {
    if (!p.adds_to.empty()) continue;
    Doubles gradient = gradient_of(run.parameters, p.id), &w = weights[p.name];
    for (const Parameter& other : run.parameters.all())
      if (other.adds_to == p.name) reference::add(gradient, gradient_of(run.parameters, other.id));
    Doubles slopes, got;
    for (int sample = 0; sample < 8; ++sample) {
      const std::size_t i = engine() % w.size();
      const double before = w[i], h = 1e-5;
      w[i] = before + h;
      const double up = reference::objective(run.config, weights, t.tokens, t.targets);
      w[i] = before - h;
      slopes.push_back((up - reference::objective(run.config, weights, t.tokens, t.targets)) / (2 * h));
      w[i] = before;
      got.push_back(gradient[i]);
    }
    EXPECT_LT(relative_error(slopes, got), 1e-3) << p.name;
  }
}

TEST_P(Transformer, SameBitsOnAnyRanks) {
  Trial alone(GetParam().config, MPI_COMM_SELF);
  const model::LossParts loss = alone.step();
  const auto replicated = alone.reduced(Placement::replicated), experts = alone.reduced(Placement::expert);
  const int size = world_size();
  for (int degree = 1; degree <= size; ++degree) {
    if (size % degree != 0) continue;
    Trial together(GetParam().config, MPI_COMM_WORLD, degree);
    const model::LossParts got = together.step();
    EXPECT_EQ(loss.cross_entropy, got.cross_entropy);
    EXPECT_EQ(loss.total(), got.total());
    EXPECT_EQ(replicated, together.reduced(Placement::replicated));
    const auto mine = together.reduced(Placement::expert);
    for (const Parameter& p : together.parameters.all()) {
      if (p.placement != Placement::expert) continue;
      const auto first = experts.begin() + alone.parameters[p.id].offset + p.experts.first * p.stride;
      EXPECT_TRUE(std::equal(first, first + p.span(), mine.begin() + p.offset)) << p.name;
    }
  }
}

TEST_P(Transformer, PassesDoNotDependOnEarlierOnes) {
  Trial once(GetParam().config, MPI_COMM_WORLD), often(GetParam().config, MPI_COMM_WORLD);
  once.step();
  often.step();
  often.model.forward(often.batch(), moe::Pass::evaluate);
  EXPECT_EQ(once.model.token_losses(), often.model.token_losses());
  EXPECT_EQ(once.model.predictions(), often.model.predictions());
  often.model.reduce();
  often.step();
  EXPECT_EQ(once.reduced(Placement::replicated), often.reduced(Placement::replicated));
  EXPECT_EQ(once.reduced(Placement::expert), often.reduced(Placement::expert));
}

INSTANTIATE_TEST_SUITE_P(Models, Transformer, testing::ValuesIn(cases()),
                         [](const auto& instance) { return instance.param.name; });

TEST(TransformerOutput, LogitsGiveTheTokenLosses) {
  Trial run(small_config(), MPI_COMM_WORLD);
  const data::Batch batch = run.batch();
  run.model.forward(batch, moe::Pass::evaluate);
  const auto losses = run.model.token_losses();
  const auto predictions = run.model.predictions();
  ASSERT_EQ(losses.size(), batch.tokens.size());
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const auto logits = run.model.logits(static_cast<Index>(i));
    const auto row = reference::head_row(Doubles(logits.begin(), logits.end()), batch.targets[i], 1.0, 0.0);
    EXPECT_NEAR(losses[i], row.cross_entropy, 1e-5);
    EXPECT_EQ(predictions[i], row.predicted);
  }
}

TEST(TransformerOutput, FindsTheFirstNonFiniteBlock) {
  Trial run(small_config(), MPI_COMM_SELF);
  run.model.forward(run.batch(), moe::Pass::train);
  EXPECT_FALSE(run.model.first_non_finite());
  const int id = run.parameters.find("blocks.1.feed_forward.up.weight");
  copy_in(Doubles(1, INFINITY), run.parameters.value(id));
  run.model.forward(run.batch(), moe::Pass::train);
  ASSERT_TRUE(run.model.first_non_finite());
  EXPECT_EQ(run.model.first_non_finite()->block, 1);
  EXPECT_EQ(run.model.first_non_finite()->expert, -1);
}

TEST(TransformerParameters, FollowTheConventions) {
  Trial run(with_experts(), MPI_COMM_SELF);
  const auto& parameters = run.parameters;
  for (const Parameter& p : parameters.all()) {
    const bool one_dimension = p.shape.size() == 1, embedding = p.name.rfind("embedding", 0) == 0;
    EXPECT_EQ(p.decay, !one_dimension && !embedding) << p.name;
    EXPECT_EQ(p.init == Init::ones, one_dimension) << p.name;
  }
  EXPECT_DOUBLE_EQ(parameters[parameters.find("blocks.0.attention.o.weight")].init_std, 0.02 / 2.0);
  EXPECT_DOUBLE_EQ(parameters[parameters.find("blocks.0.feed_forward.down.weight")].init_std, 0.02 / 2.0);
  EXPECT_DOUBLE_EQ(parameters[parameters.find("blocks.0.attention.q.weight")].init_std, 0.02);
  EXPECT_EQ(parameters.find("head.weight"), -1);
}

}  // namespace
}  // namespace switchyard
