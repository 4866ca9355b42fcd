// The router against the double oracle: choices, weights, statistics and, by finite differences, every gradient.
#include "moe/router.hpp"

#include <gtest/gtest.h>

#include <set>

#include "base/check.hpp"
#include "config/routers.hpp"
#include "moe/router_rig.hpp"
#include "moe/routers/noise.hpp"
#include "reference/router.hpp"
#include "support/kinds.hpp"
#include "support/queue.hpp"

namespace switchyard {
namespace {

using reference::Row;
using test::Rig;

/// The rows of a flat (rows, n) array.
template <class To, class From>
std::vector<std::vector<To>> rows_of(const std::vector<From>& flat, std::size_t n) {
  std::vector<std::vector<To>> rows;
  for (std::size_t i = 0; i < flat.size(); i += n) rows.emplace_back(flat.begin() + i, flat.begin() + i + n);
  return rows;
}

/// A rig's tokens and parameters in double; logits are a function of the weights.
struct Oracle {
  explicit Oracle(Rig& rig) : moe(rig.config.moe), d(rig.config.model.width) {
    x = rows_of<double>(host_values(rig.x), d);
    const auto w = rig.value("router");
    weight = Row(w.begin(), w.end());
    if (traits_of(moe.router).tensors.size() < 2) return;
    const auto n = rig.value("router_noise");
    noise_weight = Row(n.begin(), n.end());
    recover_noise(rig);
  }

  /// ε: with noise logits 0 the noise added is ε·log 2.
  void recover_noise(Rig& rig) {
    const int experts = moe.experts;
    const auto zero = Matrix<float>("zero", x.size(), experts), slope = Matrix<float>("slope", x.size(), experts);
    moe::Scores scores;
    scores.logits = zero, scores.slope = slope;
    moe::add_noise(test::queue(), {rig.config.train.seed, 3, 1, rig.rows().first}, scores);
    for (const float v : host_values(zero)) epsilon.push_back(v / std::log(2.0));
  }

  double product(const Row& w, std::size_t t, int e) const {
    double sum = 0.0;
    for (int c = 0; c < d; ++c) sum += x[t][c] * w[e * d + c];
    return sum;
  }

  std::vector<Row> logits() const {
    std::vector<Row> all(x.size(), Row(moe.experts));
    for (std::size_t t = 0; t < x.size(); ++t)
      for (int e = 0; e < moe.experts; ++e) {
        all[t][e] = product(weight, t, e);
        if (!epsilon.empty())
          all[t][e] += epsilon[t * moe.experts + e] * std::log1p(std::exp(product(noise_weight, t, e)));
      }
    return all;
  }

  MoeConfig moe;
  int d;
  std::vector<Row> x;
  Row weight, noise_weight, epsilon;
};

reference::Routing routing_of(const Rig& rig, const moe::Choice& choice, const Vector<float>& dweight) {
  const std::size_t k = rig.config.moe.top_k;
  return {rig.config.model.context, rig.config.grain_sequences(), rows_of<int>(host_values(choice.expert), k),
          rows_of<std::uint8_t>(host_values(choice.kept), k), rows_of<double>(host_values(dweight), k)};
}

void expect_near_all(const std::vector<float>& got, const Row& want, double tolerance, const char* what) {
  ASSERT_EQ(got.size(), want.size());
  double difference = 0.0, size = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) difference += std::pow(got[i] - want[i], 2), size += want[i] * want[i];
  // Of one expert the gradient is 0, and fp32 leaves a rounding of what cancels: 1e-7 of numbers around 1.
  EXPECT_LE(std::sqrt(difference), tolerance * std::sqrt(size) + 4e-7) << what;
}

/// dL/dv for each element of `values`, central differences of the oracle's objective.
Row differences(Oracle& oracle, Row& values, const reference::Routing& r) {
  Row gradient;
  for (double& v : values) {
    const double kept = v, h = 1e-5;
    v = kept + h;
    const double above = reference::losses(oracle.moe, r, oracle.logits()).objective();
    v = kept - h;
    const double below = reference::losses(oracle.moe, r, oracle.logits()).objective();
    v = kept;
    gradient.push_back((above - below) / (2.0 * h));
  }
  return gradient;
}

std::vector<float> some_bias(int experts) {
  std::vector<float> bias;
  for (int e = 0; e < experts; ++e) bias.push_back(0.15f * test::noise(e, 5));
  return bias;
}

void expect_choice_of_oracle(const Oracle& oracle, const std::vector<float>& bias, const reference::Routing& r,
                             const std::vector<float>& weight) {
  const std::vector<Row> logits = oracle.logits();
  for (std::size_t t = 0; t < logits.size(); ++t) {
    Row value = reference::scores(oracle.moe, logits[t]);
    for (std::size_t e = 0; e < value.size(); ++e) value[e] += bias[e];
    EXPECT_EQ(r.expert[t], reference::selection(oracle.moe, value)) << "token " << t;
    const Row w = reference::weights(oracle.moe, logits[t], r.expert[t]);
    for (std::size_t j = 0; j < w.size(); ++j)
      EXPECT_NEAR(weight[t * w.size() + j], w[j], 3e-6 * std::abs(w[j]) + 1e-7);
  }
}

void expect_gradients_of_oracle(Rig& rig, Oracle& oracle, const reference::Routing& r) {
  const Matrix<float> dx = rig.backward();
  expect_near_all(rig.gradient("router"), differences(oracle, oracle.weight, r), 2e-5, "router weight");
  if (!oracle.noise_weight.empty())
    expect_near_all(rig.gradient("router_noise"), differences(oracle, oracle.noise_weight, r), 2e-5, "noise weight");
  const auto flat = host_values(dx);
  for (std::size_t t = 0; t < oracle.x.size(); t += 11) {
    const std::vector<float> row(flat.begin() + t * oracle.d, flat.begin() + (t + 1) * oracle.d);
    expect_near_all(row, differences(oracle, oracle.x[t], r), 5e-5, "x");
  }
}

void compare(const Config& config) {
  Rig rig(config, MPI_COMM_SELF);
  const bool biased = config.moe.bias_rule != BiasRule::none;
  const std::vector<float> bias = biased ? some_bias(config.moe.experts) : std::vector<float>(config.moe.experts, 0.0f);
  rig.router.set_bias(test::queue(), bias);
  const moe::Choice& choice = rig.forward();
  Oracle oracle(rig);
  const reference::Routing r = routing_of(rig, choice, rig.weight_gradient());
  expect_choice_of_oracle(oracle, bias, r, host_values(choice.weight));
  rig.reduce();
  const moe::LayerStatistics& s = rig.statistics;
  const reference::Losses l = reference::losses(oracle.moe, r, oracle.logits());
  EXPECT_NEAR(s.aux_loss, l.aux, 1e-6 * l.aux);
  EXPECT_NEAR(s.importance_loss, l.importance, 1e-5 * l.importance + 1e-12);
  EXPECT_NEAR(s.z_loss, l.z, 1e-6 * l.z);
  EXPECT_NEAR(s.entropy, l.entropy, 1e-6 * l.entropy + 1e-7);
  expect_gradients_of_oracle(rig, oracle, r);
}

Config with(RouterKind router, Normalise normalise, int experts = 8, int k = 3) {
  Config c = test::small_config(experts, k);
  c.moe.router = router;
  c.moe.normalise = normalise;
  c.moe.scale = 1.7;
  return c;
}

/// Every loss at once, at the given scope and form.
Config with_losses(Config c, AuxScope scope, ImportanceForm form) {
  c.moe.aux_loss = 0.8;
  c.moe.aux_scope = scope;
  c.moe.importance_loss = 0.6;
  c.moe.importance_form = form;
  c.moe.z_loss = 0.1;
  return c;
}

/// Every router that has logits, with every normalisation that it can have.
std::vector<Config> variants(int experts = 8, int k = 3) {
  std::vector<Config> all;
  for (const RouterKind router : test::all_of<RouterKind>())
    for (const Normalise normalise : test::all_of<Normalise>())
      if (const Config c = with(router, normalise, experts, k); reference::rule_of(router).scores && test::allowed(c))
        all.push_back(c);
  return all;
}

std::string traced(const Config& c) { return test::name_of(c.moe.router) + ", " + test::name_of(c.moe.normalise); }

TEST(Router, EveryOneWithParametersIsCompared) {
  std::set<RouterKind> compared;
  for (const Config& c : variants()) {
    SCOPED_TRACE(traced(c));
    compare(c);
    compared.insert(c.moe.router);
  }
  for (const RouterKind router : test::all_of<RouterKind>())
    EXPECT_EQ(compared.count(router), traits_of(router).learned()) << test::name_of(router);
}

TEST(Router, BiasMovesTheSelectionButNotTheWeights) {
  for (Config c : variants()) {
    SCOPED_TRACE(traced(c));
    c.moe.bias_rule = BiasRule::sign;
    if (test::allowed(c)) compare(c);
  }
}

TEST(Router, EveryLossAtEveryScope) {
  for (const Config& c : variants())
    for (const AuxScope scope : test::all_of<AuxScope>())
      for (const ImportanceForm form : test::all_of<ImportanceForm>()) {
        SCOPED_TRACE(traced(c) + ", " + test::name_of(scope) + ", " + test::name_of(form));
        compare(with_losses(c, scope, form));
      }
}

TEST(Router, NumbersOfExperts) {
  for (const int experts : {1, 2, 3, 17, 33})
    for (const Config& c : variants(experts, std::min(experts, 2))) {
      SCOPED_TRACE(traced(c) + ", experts " + std::to_string(experts));
      compare(with_losses(c, AuxScope::grain, experts > 1 ? ImportanceForm::cv2 : ImportanceForm::squared_deviation));
    }
}

TEST(Router, GroupLimited) {
  for (const GroupScore score : test::all_of<GroupScore>())
    for (Config c : variants(24, 6)) {
      SCOPED_TRACE(traced(c) + ", " + test::name_of(score));
      c = with_losses(c, AuxScope::batch, ImportanceForm::cv2);
      c.moe.groups = 6;
      c.moe.groups_kept = 2;
      c.moe.group_score = score;
      c.moe.bias_rule = BiasRule::sign;
      if (test::allowed(c)) compare(c);
    }
  Config most = with(RouterKind::sigmoid, Normalise::after, 64, 3);
  most.moe.groups = 64, most.moe.groups_kept = 40, most.moe.group_score = GroupScore::max;
  compare(most);
}

TEST(Router, DroppedChoicesCarryNoGradientAndWeightsStay) {
  for (const DropOrder order : {DropOrder::weight, DropOrder::position}) {
    Config c = with_losses(with(RouterKind::softmax, Normalise::after, 5, 2), AuxScope::batch, ImportanceForm::cv2);
    c.moe.capacity_factor = 0.7;
    c.moe.drop_order = order;
    compare(c);
    c.moe.router = RouterKind::sigmoid;
    compare(c);
  }
}

TEST(Router, DropsTrainingTokensOnlyAndCountsBeforeTheDrop) {
  Config c = with(RouterKind::softmax, Normalise::before, 5, 2);
  c.moe.capacity_factor = 0.7;
  Rig rig(c, MPI_COMM_SELF);
  rig.forward();
  rig.reduce();
  const moe::LayerStatistics training = rig.statistics;
  std::int64_t assigned = 0, kept = 0;
  for (int e = 0; e < 5; ++e) {
    assigned += training.assigned[e], kept += training.kept[e];
    EXPECT_LE(training.kept[e], 4 * 4);  // ceil(0.7·12·2/5) = 4 in each of 4 grains
  }
  EXPECT_EQ(assigned, c.step_tokens() * 2);
  EXPECT_LT(kept, assigned);
  rig.forward(moe::Pass::evaluate);
  rig.reduce();
  EXPECT_EQ(rig.statistics.kept, rig.statistics.assigned);
  EXPECT_EQ(rig.statistics.assigned, training.assigned);
}

TEST(Router, RefusesSenselessOptions) {
  const auto make = [](const Config& c) { Rig rig(c, MPI_COMM_SELF); };
  EXPECT_THROW(make(with(RouterKind::softmax, Normalise::none)), Error);
  EXPECT_THROW(make(with(RouterKind::sigmoid, Normalise::before)), Error);
  EXPECT_THROW(make(with(RouterKind::noisy_topk, Normalise::before)), Error);
  EXPECT_THROW(make(with(RouterKind::softmax, Normalise::after, 2, 3)), Error);
  for (const RouterKind router : {RouterKind::noisy_topk, RouterKind::hash}) {
    Config biased = with(router, Normalise::after);
    biased.moe.bias_rule = BiasRule::sign;
    EXPECT_THROW(make(biased), Error);
  }
}

}  // namespace
}  // namespace switchyard
