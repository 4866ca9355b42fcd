// ranks: 1 2 3 4 8
// The whole model: its objective and gradients against differences of the double reference, and the same bits on any
// number of ranks.
#include "model/transformer.hpp"

#include "model/support.hpp"
#include "reference/transformer.hpp"
#include "support/kinds.hpp"
#include "support/passes.hpp"
#include "support/queue.hpp"
#include "support/ranks.hpp"

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

/// A model on some ranks.
struct Trial : Ranks {
  Trial(const Config& c, MPI_Comm ranks, int expert_parallel = 0)
      : Ranks(c, ranks, expert_parallel, architecture(c)), model(context()) {}

  data::Batch batch() const {
    const Tokens all = random_tokens(config);
    data::Batch b;
    b.context = config.model.context;
    b.sequences = sequences();
    b.tokens.assign(all.tokens.begin() + rows().first, all.tokens.begin() + rows().last);
    b.targets.assign(all.targets.begin() + rows().first, all.targets.begin() + rows().last);
    b.position.assign(b.sequences.size(), 0);
    return b;
  }

  model::LossParts step() {
    model.forward(test::queue(), batch(), moe::Pass::train);
    const model::LossParts loss = model.reduce(test::queue());
    run_backward(model, config);
    return loss;
  }

  model::Transformer model;
};

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
  for (const AttentionKind attention : all_of<AttentionKind>()) {
    all.push_back({"attention_" + name_of(attention), small_config()});
    all.back().config.model.attention = attention;
    all.back().config.model.heads = 6, all.back().config.model.kv_heads = 3;
  }
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
  const auto replicated = alone.gradient_sum(Placement::replicated), experts = alone.gradient_sum(Placement::expert);
  for (const int degree : degrees()) {
    Trial together(GetParam().config, MPI_COMM_WORLD, degree);
    const model::LossParts got = together.step();
    EXPECT_EQ(loss.cross_entropy, got.cross_entropy);
    EXPECT_EQ(loss.total(), got.total());
    EXPECT_EQ(replicated, together.gradient_sum(Placement::replicated));
    const auto mine = together.gradient_sum(Placement::expert);
    for (const Parameter& p : together.parameters.all()) {
      if (p.placement != Placement::expert) continue;
      for (Index u = 0; u < p.local_units(); ++u) {
        const auto first = experts.begin() + alone.parameters[p.id].offset + p.held[u] * p.stride;
        EXPECT_TRUE(std::equal(first, first + p.stride, mine.begin() + p.offset + u * p.stride)) << p.name;
      }
    }
  }
}

TEST_P(Transformer, PassesDoNotDependOnEarlierOnes) {
  Trial once(GetParam().config, MPI_COMM_WORLD), often(GetParam().config, MPI_COMM_WORLD);
  once.step();
  often.step();
  often.model.forward(test::queue(), often.batch(), moe::Pass::evaluate);
  EXPECT_EQ(once.model.token_losses(), often.model.token_losses());
  EXPECT_EQ(once.model.predictions(), often.model.predictions());
  often.model.reduce(test::queue());
  often.step();
  EXPECT_EQ(once.gradient_sum(Placement::replicated), often.gradient_sum(Placement::replicated));
  EXPECT_EQ(once.gradient_sum(Placement::expert), often.gradient_sum(Placement::expert));
}

INSTANTIATE_TEST_SUITE_P(Models, Transformer, testing::ValuesIn(cases()),
                         [](const auto& instance) { return instance.param.name; });

TEST(TransformerOutput, LogitsGiveTheTokenLosses) {
  Trial run(small_config(), MPI_COMM_WORLD);
  const data::Batch batch = run.batch();
  run.model.forward(test::queue(), batch, moe::Pass::evaluate);
  const auto losses = run.model.token_losses();
  const auto predictions = run.model.predictions();
  ASSERT_EQ(losses.size(), batch.tokens.size());
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const auto logits = run.model.logits(test::queue(), static_cast<Index>(i));
    const auto row = reference::head_row(Doubles(logits.begin(), logits.end()), batch.targets[i], 1.0, 0.0);
    EXPECT_NEAR(losses[i], row.cross_entropy, 1e-5);
    EXPECT_EQ(predictions[i], row.predicted);
  }
}

TEST(TransformerOutput, FindsTheFirstNonFiniteBlock) {
  Trial run(small_config(), MPI_COMM_SELF);
  run.model.forward(test::queue(), run.batch(), moe::Pass::train);
  EXPECT_FALSE(run.model.first_non_finite(test::queue()));
  const int id = run.parameters.find("blocks.1.feed_forward.up.weight");
  copy_in(Doubles(1, INFINITY), run.parameters.value(id));
  run.model.forward(test::queue(), run.batch(), moe::Pass::train);
  ASSERT_TRUE(run.model.first_non_finite(test::queue()));
  EXPECT_EQ(run.model.first_non_finite(test::queue())->block, 1);
  EXPECT_EQ(run.model.first_non_finite(test::queue())->expert, -1);
}

// Rows of experts that were not kept are those of the last layer by then.
TEST(TransformerOutput, FindsTheFirstNonFiniteExpertWhateverIsKept) {
  for (const Recompute recompute : all_of<Recompute>())
    for (const int degree : degrees()) {
      SCOPED_TRACE(name_of(recompute) + ", EP " + std::to_string(degree));
      Config config = with_experts();
      config.model.blocks = 4, config.layout.recompute = recompute;  // the first is dense
      Trial run(config, MPI_COMM_WORLD, degree);
      run.model.forward(test::queue(), run.batch(), moe::Pass::train);
      EXPECT_FALSE(run.model.first_non_finite(test::queue()));
      const Parameter& down = run.parameters[run.parameters.find("blocks.2.moe.experts.down.weight")];
      if (std::find(down.held.begin(), down.held.end(), 3) != down.held.end())
        copy_in(Doubles(1, INFINITY), run.parameters.value(down.id) + down.local_unit(3) * down.stride);
      run.model.forward(test::queue(), run.batch(), moe::Pass::train);
      const auto place = run.model.first_non_finite(test::queue());
      EXPECT_EQ(place ? place->block : 2, 2);
      std::int64_t named = place && place->expert == 3;
      comm::all_reduce_max(run.groups.world, &named, 1);
      EXPECT_EQ(named, 1);
    }
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
