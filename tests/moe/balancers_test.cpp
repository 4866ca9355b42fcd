// Every balancer against its definition in double: its loss, its gradient by finite differences, its step of the bias;
// and golden values of the conventions.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "moe/balancers/balancer.hpp"
#include "moe/cutoffs.hpp"
#include "reference/balance.hpp"
#include "support/kinds.hpp"

namespace switchyard::moe {
namespace {

/// What tests one balancer: configurations that turn on nothing but it, and its definition.
struct BalancerRule {
  std::vector<MoeConfig> configs;
  double (*loss)(const MoeConfig& moe, const Load& load);  ///< coefficient included; null: a balancer without one
};

std::vector<double> counts_of(const Load& load) { return {load.assigned.begin(), load.assigned.end()}; }

double switch_by_definition(const MoeConfig& m, const Load& l) {
  return m.aux_loss * reference::switch_loss(counts_of(l), l.mass, static_cast<double>(l.tokens), m.top_k);
}
double importance_by_definition(const MoeConfig& m, const Load& l) {
  return m.importance_loss * reference::importance(m.importance_form, l.mass, static_cast<double>(l.tokens));
}
double z_by_definition(const MoeConfig& m, const Load& l) {
  return m.z_loss * l.squares / static_cast<double>(l.tokens);
}

template <class Change>
MoeConfig moe_with(Change change) {
  MoeConfig moe;
  change(moe);
  return moe;
}

/// One configuration for each value of an option.
template <class E>
std::vector<MoeConfig> with_all(MoeConfig moe, E MoeConfig::*option) {
  std::vector<MoeConfig> all;
  for (const E value : test::all_of<E>()) all.push_back(moe), all.back().*option = value;
  return all;
}

std::vector<MoeConfig> with_all_rules() {
  std::vector<MoeConfig> all = with_all(moe_with([](MoeConfig& m) { m.bias_rate = 0.01; }), &MoeConfig::bias_rule);
  std::erase_if(all, [](const MoeConfig& m) {
    return m.bias_rule == BiasRule::none || m.bias_rule == BiasRule::quantile;  // which has no steps: its own test
  });
  return all;
}

/// What rules of steps read of a batch.
LayerStatistics batch_of(const std::vector<std::int64_t>& assigned, double spread = 0.0) {
  LayerStatistics s;
  s.assigned = assigned, s.score_spread = spread;
  return s;
}

Config config_with(const MoeConfig& moe) {
  Config c;
  c.moe = moe;
  return c;
}
Balancers balancers_of(const MoeConfig& moe) { return make_balancers(config_with(moe)); }

/// By the names of balancer_kinds.
const std::map<std::string, BalancerRule>& rules() {
  static const std::map<std::string, BalancerRule> all{
      {"switch_loss",
       {with_all(moe_with([](MoeConfig& m) { m.top_k = 2, m.aux_loss = 0.8; }), &MoeConfig::aux_scope),
        switch_by_definition}},
      {"importance_loss",
       {with_all(moe_with([](MoeConfig& m) { m.importance_loss = 0.6; }), &MoeConfig::importance_form),
        importance_by_definition}},
      {"z_loss", {{moe_with([](MoeConfig& m) { m.z_loss = 0.1; })}, z_by_definition}},
      {"bias_rule", {with_all_rules(), nullptr}},
      {"quantile_bias", {{moe_with([](MoeConfig& m) { m.bias_rule = BiasRule::quantile; })}, nullptr}}};
  return all;
}

const Load some_load{50, {10, 0, 33, 7, 50}, {12.5, 0.25, 20.0, 7.25, 10.0}, 60.0, 140.0};

/// Central difference of f at the element v of `load`, which is left as it was.
template <class F>
double difference(const F& f, const Load& load, double& v) {
  const double kept = v, h = 1e-5;
  v = kept + h;
  const double above = f(load);
  v = kept - h;
  const double below = f(load);
  v = kept;
  return (above - below) / (2.0 * h);
}

void expect_definition(const MoeConfig& moe, const Balancer& balancer, const BalancerRule& rule) {
  Load load = some_load;
  const auto loss = [&](const Load& l) { return rule.loss ? rule.loss(moe, l) : 0.0; };
  const double of_units = balancer.scope() == AuxScope::batch ? 0.0 : balancer.unit_loss(load);
  EXPECT_NEAR(balancer.loss(load, of_units), loss(load), 1e-14);
  std::vector<float> gradient(load.mass.size(), 1.0f);  // which it adds to
  balancer.add_gradient(load, 0.25, gradient.data());
  for (std::size_t e = 0; e < gradient.size(); ++e)  // p of one token adds to the mass
    EXPECT_NEAR(gradient[e] - 1.0f, 0.25 * difference(loss, load, load.mass[e]), 2e-7) << "expert " << e;
  EXPECT_NEAR(balancer.lse_slope(load.tokens), 2.0 * difference(loss, load, load.squares), 1e-9);
}

void expect_step(const MoeConfig& moe, const Balancer& balancer) {
  std::vector<float> bias{0.5f, -0.25f, 0.0f, 0.125f, 0.0f};
  std::vector<double> want(bias.begin(), bias.end());
  if (moe.bias_rule != BiasRule::none)
    want = reference::moved_bias(moe.bias_rule, moe.bias_rate, some_load.assigned, want);
  balancer.update(0, batch_of(some_load.assigned), bias);
  for (std::size_t e = 0; e < bias.size(); ++e) EXPECT_FLOAT_EQ(bias[e], static_cast<float>(want[e])) << "expert " << e;
}

TEST(Balancers, EachAgreesWithItsDefinition) {
  for (const BalancerKind& kind : balancer_kinds()) {
    ASSERT_TRUE(rules().count(kind.name)) << kind.name << " has no definition in the table of this test";
    EXPECT_EQ(kind.make(Config()), nullptr) << kind.name << " is on although no option asks for it";
    const BalancerRule& rule = rules().at(kind.name);
    for (const MoeConfig& moe : rule.configs) {
      SCOPED_TRACE(std::string(kind.name) + ", " + test::name_of(moe.aux_scope) + ", " +
                   test::name_of(moe.importance_form) + ", " + test::name_of(moe.bias_rule));
      const Balancers alone = balancers_of(moe);
      ASSERT_EQ(alone.size(), 1u);
      expect_definition(moe, *alone[0], rule);
      if (moe.bias_rule != BiasRule::quantile) expect_step(moe, *alone[0]);
    }
  }
}

/// Of the only balancer of a configuration.
double loss_of(const MoeConfig& moe, const Load& load) { return balancers_of(moe).at(0)->loss(load, 0.0); }

// Even counts and scores: 1 for every k (Megatron, OLMo-core, MegaBlocks); a sum over choices without 1/k would be k.
TEST(Balancers, SwitchLossOfEvenLoadIsOne) {
  for (const int k : {1, 2, 4}) {
    const Load even{64, std::vector<std::int64_t>(8, 64 * k / 8), std::vector<double>(8, 8.0)};
    EXPECT_DOUBLE_EQ(loss_of(moe_with([&](MoeConfig& m) { m.top_k = k, m.aux_loss = 1.0; }), even), 1.0);
  }
}

TEST(Balancers, SwitchLossOfCollapsedLoadIsTheNumberOfExpertsOverK) {
  Load all{64, std::vector<std::int64_t>(8, 0), std::vector<double>(8, 0.0)};
  for (int e = 0; e < 2; ++e) all.assigned[e] = 64, all.mass[e] = 32.0;
  EXPECT_DOUBLE_EQ(loss_of(moe_with([](MoeConfig& m) { m.top_k = 2, m.aux_loss = 1.0; }), all), 4.0);
}

TEST(Balancers, ImportanceOfEvenLoadIsZero) {
  const MoeConfig cv2 =
      moe_with([](MoeConfig& m) { m.importance_loss = 1.0, m.importance_form = ImportanceForm::cv2; });
  const MoeConfig deviation =
      moe_with([](MoeConfig& m) { m.importance_loss = 1.0, m.importance_form = ImportanceForm::squared_deviation; });
  const Load even{64, std::vector<std::int64_t>(8, 8), std::vector<double>(8, 8.0)};
  EXPECT_EQ(loss_of(cv2, even), 0.0);
  EXPECT_EQ(loss_of(deviation, even), 0.0);
  const Load one{64, {64, 0}, {64.0, 0.0}};
  EXPECT_DOUBLE_EQ(loss_of(cv2, one), 1.0);
  EXPECT_DOUBLE_EQ(loss_of(deviation, one), 0.5);
}

void move(BiasRule rule, const std::vector<std::int64_t>& counts, double rate, std::vector<float>& bias) {
  for (const auto& balancer : balancers_of(moe_with([&](MoeConfig& m) { m.bias_rule = rule, m.bias_rate = rate; })))
    balancer->update(0, batch_of(counts), bias);
}

std::vector<float> moved(BiasRule rule, const std::vector<std::int64_t>& counts, double rate = 1e-3) {
  std::vector<float> bias(counts.size(), 0.0f);
  move(rule, counts, rate, bias);
  return bias;
}

std::vector<int> signs(const std::vector<float>& change) {
  std::vector<int> s;
  for (const float c : change) s.push_back((c > 0.0f) - (c < 0.0f));
  return s;
}

// T = 64, E = 8, k = 2, capacity factor 1: what was chosen, what is left after the drop, and what padding to capacity
// shows.
TEST(Balancers, CountsAfterDropWouldMisleadTheBias) {
  EXPECT_EQ(signs(moved(BiasRule::sign, {64, 7, 8, 10, 11, 10, 11, 7})), (std::vector<int>{-1, 1, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(signs(moved(BiasRule::sign, {16, 7, 8, 10, 11, 10, 11, 7})), (std::vector<int>{-1, 1, 1, 0, -1, 0, -1, 1}));
  EXPECT_EQ(signs(moved(BiasRule::sign, std::vector<std::int64_t>(8, 16))), std::vector<int>(8, 0));
}

// Counts that bf16 or fp32 sums confuse: 2^24 + 1 rows are one more than the mean.
TEST(Balancers, CountsAreExact) {
  const std::int64_t n = (std::int64_t{1} << 24) + 1;
  EXPECT_EQ(signs(moved(BiasRule::sign, {n, n - 1, n - 2})), (std::vector<int>{-1, 0, 1}));
  EXPECT_EQ(signs(moved(BiasRule::sign, {40840, 40840, 40841, 40839})), (std::vector<int>{0, 0, -1, 1}));
}

TEST(Balancers, BiasStepsOfKnownCases) {
  // torchtitan's own case: two experts, the first one overloaded.
  EXPECT_EQ(moved(BiasRule::centred_sign, {3, 1}, 0.1), (std::vector<float>{-0.1f, 0.1f}));
  EXPECT_EQ(moved(BiasRule::sign, {0, 0}), std::vector<float>(2, 0.0f));
  EXPECT_EQ(moved(BiasRule::none, {3, 1}), std::vector<float>(2, 0.0f));
}

TEST(Balancers, CentredStepsDoNotDrift) {
  std::vector<float> bias(8, 0.0f), plain(8, 0.0f);
  for (int step = 0; step < 1000; ++step) {
    move(BiasRule::centred_sign, {64, 7, 8, 10, 11, 10, 11, 7}, 1e-3, bias);
    move(BiasRule::sign, {64, 7, 8, 10, 11, 10, 11, 7}, 1e-3, plain);
  }
  double mean = 0.0, drifted = 0.0;
  for (int e = 0; e < 8; ++e) mean += bias[e] / 8.0, drifted += plain[e] / 8.0;
  EXPECT_NEAR(mean, 0.0, 1e-5);
  EXPECT_NEAR(drifted, 0.75, 1e-3);
}

/// How far one expert's bias moved in step `step` of 100.
float moved_in(std::int64_t step, const MoeConfig& moe, double spread = 0.0) {
  Config c = config_with(moe);
  c.train.steps = 100;
  std::vector<float> bias{0.0f, 0.0f};
  for (const auto& balancer : make_balancers(c)) balancer->update(step, batch_of({1, 3}, spread), bias);
  return bias[0];
}

TEST(Balancers, ABiasMovesFromAStepOnUntilAnother) {
  const MoeConfig moe = moe_with(
      [](MoeConfig& m) { m.bias_rule = BiasRule::sign, m.bias_rate = 0.25, m.bias_from = 10, m.bias_until = 90; });
  for (const auto& [step, want] : {std::pair{1, 0.0f}, {9, 0.0f}, {10, 0.25f}, {89, 0.25f}, {90, 0.0f}, {100, 0.0f}})
    EXPECT_EQ(moved_in(step, moe), want) << step;
}

// Constant up to the half, from there on as one over the steps since it began.
TEST(Balancers, AnInverseScheduleFallsFromTheHalfOn) {
  MoeConfig moe = moe_with([](MoeConfig& m) {
    m.bias_rule = BiasRule::sign, m.bias_rate = 1.0, m.bias_schedule = BiasSchedule::inverse, m.bias_from = 11;
    m.bias_until = 31;
  });
  for (const int step : {11, 20, 21}) EXPECT_EQ(moved_in(step, moe), 1.0f) << step;
  for (const int step : {22, 25, 30})
    EXPECT_FLOAT_EQ(moved_in(step, moe), 11.0f / static_cast<float>(step - 10)) << step;
  moe.bias_until = 101, moe.bias_from = 0;
  EXPECT_EQ(moved_in(50, moe), 1.0f);
  EXPECT_FLOAT_EQ(moved_in(100, moe), 51.0f / 101.0f);
}

TEST(Balancers, ARateInSpreadsIsThatTimesTheSpreadOfTheStep) {
  const MoeConfig moe =
      moe_with([](MoeConfig& m) { m.bias_rule = BiasRule::sign, m.bias_rate = 0.5, m.bias_unit = BiasUnit::spread; });
  EXPECT_EQ(moved_in(1, moe, 0.25), 0.125f);
  EXPECT_EQ(moved_in(1, moe, 0.0), 0.0f);
}

// Against the quantile of all values, not of a histogram: within the width of a bin.
TEST(Balancers, AQuantileBiasIsThatOfItsCutoffs) {
  constexpr int experts = 5, tokens = 400, bins = 1000;
  MoeConfig moe = moe_with([](MoeConfig& m) { m.bias_rule = BiasRule::quantile; });
  std::vector<float> bias{0.2f, -0.1f, 0.0f, 0.0f, -0.1f};
  const CutoffBins cut = cutoff_bins(bias, moe);
  EXPECT_FLOAT_EQ(cut.first, -1.1f);
  EXPECT_FLOAT_EQ(cut.first + bins / cut.per_unit, 1.2f);
  LayerStatistics batch = batch_of({80, 80, 80, 80, 80});  // of these only the sum counts
  batch.cutoffs.assign(experts * bins, 0);
  std::vector<double> want;
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> uniform(-0.9, 0.9);
  for (int e = 0; e < experts; ++e) {
    std::vector<double> gaps;
    for (int t = 0; t < tokens; ++t) {
      gaps.push_back(0.1 * e + 0.5 * uniform(random));
      ++batch.cutoffs[e * bins + static_cast<int>((gaps.back() - cut.first) * cut.per_unit)];
    }
    want.push_back(reference::cutoff_quantile(gaps, tokens / 5.0));
  }
  const double mean = mean_of(want), memory = 0.25;
  std::vector<float> next = bias, smooth = bias;
  balancers_of(moe).at(0)->update(1, batch, next);
  moe.bias_memory = memory;
  balancers_of(moe).at(0)->update(1, batch, smooth);
  for (int e = 0; e < experts; ++e) {
    EXPECT_NEAR(next[e], want[e] - mean, 2.0 / cut.per_unit) << e;
    EXPECT_FLOAT_EQ(smooth[e], static_cast<float>(memory * bias[e] + (1.0 - memory) * next[e])) << e;
  }
}

}  // namespace
}  // namespace switchyard::moe
