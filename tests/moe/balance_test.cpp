// ranks: 1 2 3 4
// Conventions of losses and bias rules with their golden values, the sampling floor, and statistics that have the same
// bits on any number of ranks.
#include "moe/balance.hpp"

#include <gtest/gtest.h>

#include <random>

#include "moe/router_rig.hpp"
#include "moe/statistics.hpp"
#include "reference/balance.hpp"

namespace switchyard::moe {
namespace {

using test::Rig;

std::vector<int> signs(const std::vector<float>& change) {
  std::vector<int> s;
  for (const float c : change) s.push_back((c > 0.0f) - (c < 0.0f));
  return s;
}

std::vector<float> moved(BiasRule rule, const std::vector<std::int64_t>& counts, double rate = 1e-3) {
  std::vector<float> bias(counts.size(), 0.0f);
  move_bias(rule, rate, counts, bias);
  return bias;
}

// Even counts and scores: 1 for every k (Megatron, OLMo-core, MegaBlocks); a sum over choices without 1/k would be k.
TEST(Balance, SwitchLossOfEvenLoadIsOne) {
  for (const int k : {1, 2, 4}) {
    const Load even{64, std::vector<std::int64_t>(8, 64 * k / 8), std::vector<double>(8, 8.0)};
    EXPECT_DOUBLE_EQ(switch_loss(even, k), 1.0);
  }
}

TEST(Balance, SwitchLossOfCollapsedLoadIsTheNumberOfExpertsOverK) {
  Load all{64, std::vector<std::int64_t>(8, 0), std::vector<double>(8, 0.0)};
  for (int e = 0; e < 2; ++e) all.assigned[e] = 64, all.mass[e] = 32.0;
  EXPECT_DOUBLE_EQ(switch_loss(all, 2), 4.0);
}

TEST(Balance, LossesAgreeWithTheirDefinitions) {
  const Load load{50, {10, 0, 33, 7, 50}, {12.5, 0.25, 20.0, 7.25, 10.0}};
  const std::vector<double> counts(load.assigned.begin(), load.assigned.end());
  EXPECT_NEAR(switch_loss(load, 2), reference::switch_loss(counts, load.mass, 50, 2), 1e-14);
  for (const ImportanceForm form : {ImportanceForm::cv2, ImportanceForm::squared_deviation})
    EXPECT_NEAR(importance_loss(form, load), reference::importance(form, load.mass, 50), 1e-14);
}

TEST(Balance, ImportanceOfEvenLoadIsZero) {
  const Load even{64, std::vector<std::int64_t>(8, 8), std::vector<double>(8, 8.0)};
  EXPECT_EQ(importance_loss(ImportanceForm::cv2, even), 0.0);
  EXPECT_EQ(importance_loss(ImportanceForm::squared_deviation, even), 0.0);
  const Load one{64, {64, 0}, {64.0, 0.0}};
  EXPECT_DOUBLE_EQ(importance_loss(ImportanceForm::cv2, one), 1.0);
  EXPECT_DOUBLE_EQ(importance_loss(ImportanceForm::squared_deviation, one), 0.5);
}

// T = 64, E = 8, k = 2, capacity factor 1: what was chosen, what is left after the drop, and what padding to capacity
// shows.
TEST(Balance, CountsAfterDropWouldMisleadTheBias) {
  EXPECT_EQ(signs(moved(BiasRule::sign, {64, 7, 8, 10, 11, 10, 11, 7})), (std::vector<int>{-1, 1, 1, 1, 1, 1, 1, 1}));
  EXPECT_EQ(signs(moved(BiasRule::sign, {16, 7, 8, 10, 11, 10, 11, 7})), (std::vector<int>{-1, 1, 1, 0, -1, 0, -1, 1}));
  EXPECT_EQ(signs(moved(BiasRule::sign, std::vector<std::int64_t>(8, 16))), std::vector<int>(8, 0));
}

// A router that sends everything to expert 0 first, at capacity factor 1: the bias must follow the choices.
TEST(Balance, BiasFollowsChoicesBeforeTheDrop) {
  Config c = test::small_config(8, 2);
  c.moe.router = RouterKind::sigmoid;
  c.moe.bias_rule = BiasRule::sign;
  c.moe.capacity_factor = 1.0;
  Rig rig(c, MPI_COMM_SELF);
  std::vector<float> bias(8, 0.0f);
  bias[0] = 5.0f;
  rig.router.set_bias(bias);
  rig.forward();
  rig.reduce();
  const LayerStatistics& s = rig.router.statistics();
  EXPECT_EQ(s.assigned[0], 48);
  EXPECT_EQ(s.kept[0], 4 * 3);
  rig.router.update_bias(0);
  EXPECT_LT(rig.router.bias()[0], bias[0]);
  for (int e = 1; e < 8; ++e)
    EXPECT_EQ(signs({rig.router.bias()[e]})[0], (s.assigned[e] < 12) - (s.assigned[e] > 12)) << e;
}

// Counts that bf16 or fp32 sums confuse: 2^24 + 1 rows are one more than the mean.
TEST(Balance, CountsAreExact) {
  const std::int64_t n = (std::int64_t{1} << 24) + 1;
  EXPECT_EQ(signs(moved(BiasRule::sign, {n, n - 1, n - 2})), (std::vector<int>{-1, 0, 1}));
  EXPECT_EQ(signs(moved(BiasRule::sign, {40840, 40840, 40841, 40839})), (std::vector<int>{0, 0, -1, 1}));
}

TEST(Balance, BiasRulesAgreeWithTheirDefinitions) {
  const std::vector<std::int64_t> counts{64, 7, 8, 10, 11, 10, 11, 7};
  for (const BiasRule rule : {BiasRule::sign, BiasRule::centred_sign, BiasRule::proportional}) {
    const auto want = reference::moved_bias(rule, 0.01, counts, std::vector<double>(8, 0.0));
    const auto got = moved(rule, counts, 0.01);
    for (int e = 0; e < 8; ++e) EXPECT_FLOAT_EQ(got[e], static_cast<float>(want[e]));
  }
  // torchtitan's own case: two experts, the first one overloaded.
  EXPECT_EQ(moved(BiasRule::centred_sign, {3, 1}, 0.1), (std::vector<float>{-0.1f, 0.1f}));
  EXPECT_EQ(moved(BiasRule::sign, {0, 0}), std::vector<float>(2, 0.0f));
  EXPECT_EQ(moved(BiasRule::none, {3, 1}), std::vector<float>(2, 0.0f));
}

TEST(Balance, CentredStepsDoNotDrift) {
  std::vector<float> bias(8, 0.0f), plain(8, 0.0f);
  for (int step = 0; step < 1000; ++step) {
    move_bias(BiasRule::centred_sign, 1e-3, {64, 7, 8, 10, 11, 10, 11, 7}, bias);
    move_bias(BiasRule::sign, 1e-3, {64, 7, 8, 10, 11, 10, 11, 7}, plain);
  }
  double mean = 0.0, drifted = 0.0;
  for (int e = 0; e < 8; ++e) mean += bias[e] / 8.0, drifted += plain[e] / 8.0;
  EXPECT_NEAR(mean, 0.0, 1e-5);
  EXPECT_NEAR(drifted, 0.75, 1e-3);
}

TEST(Statistics, MaxVioOfEvenLoadIsZero) {
  EXPECT_EQ(max_vio({4, 4, 4, 4}), 0.0);
  EXPECT_EQ(max_vio({16, 0, 0, 0}), 3.0);
  EXPECT_EQ(max_vio({5}), 0.0);
  EXPECT_EQ(max_vio({0, 0}), 0.0);
}

double simulated_floor(int tokens, int k, int experts, int trials) {
  std::mt19937_64 random(7);
  std::vector<int> deck(experts);
  double sum = 0.0;
  for (int trial = 0; trial < trials; ++trial) {
    std::vector<std::int64_t> count(experts, 0);
    for (int e = 0; e < experts; ++e) deck[e] = e;
    for (int t = 0; t < tokens; ++t)
      for (int j = 0; j < k; ++j) {
        std::swap(deck[j], deck[j + random() % (experts - j)]);
        ++count[deck[j]];
      }
    sum += max_vio(count);
  }
  return sum / trials;
}

TEST(Statistics, FloorAgreesWithSimulation) {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (rank > 0) return;
  for (const auto& [tokens, k, experts] : {std::array{4096, 1, 8},
                                           {4096, 1, 64},
                                           {4096, 1, 256},
                                           {512, 1, 256},
                                           {256, 1, 2},
                                           {1024, 2, 8},
                                           {1024, 2, 64},
                                           {512, 8, 256},
                                           {300, 3, 5},
                                           {512, 8, 16}}) {
    const double simulated = simulated_floor(tokens, k, experts, 1500);
    EXPECT_NEAR(max_vio_floor(tokens, k, experts), simulated, 0.03 * simulated) << tokens << " " << k << " " << experts;
  }
}

TEST(Statistics, FloorAtTheEdges) {
  EXPECT_EQ(max_vio_floor(100, 1, 1), 0.0);
  EXPECT_EQ(max_vio_floor(100, 8, 8), 0.0);
  EXPECT_EQ(max_vio_floor(0, 1, 8), 0.0);
  EXPECT_GT(max_vio_floor(8, 1, 1024), 50.0);  // eight tokens: one expert gets at least 1 of mean 1/128
  EXPECT_LT(max_vio_floor(std::int64_t{1} << 30, 8, 64), 1e-3);
}

/// All that a layer reports, as bytes.
std::vector<double> everything(const LayerStatistics& s, const std::vector<float>& bias) {
  std::vector<double> all(s.assigned.begin(), s.assigned.end());
  all.insert(all.end(), s.kept.begin(), s.kept.end());
  all.insert(all.end(), s.margin.begin(), s.margin.end());
  all.insert(all.end(), s.prob_mass.begin(), s.prob_mass.end());
  all.insert(all.end(), bias.begin(), bias.end());
  all.insert(all.end(), {s.entropy, s.aux_loss, s.importance_loss, s.z_loss});
  return all;
}

Config invariance_config(RouterKind router, AuxScope scope, int experts) {
  Config c = test::small_config(experts, std::min(experts, 2));
  c.train.batch = 14;
  c.train.grains = 7;
  c.moe.router = router;
  if (router != RouterKind::hash) c.moe.aux_loss = c.moe.importance_loss = c.moe.z_loss = 0.3;
  c.moe.aux_scope = scope;
  c.moe.capacity_factor = 0.9;
  if (router == RouterKind::sigmoid || router == RouterKind::softmax) c.moe.bias_rule = BiasRule::proportional;
  return c;
}

/// This rank's rows of a whole result (rows, width).
template <class T>
std::vector<T> mine(const std::vector<T>& whole, const Rig& rig, std::size_t width) {
  const auto first = whole.begin() + rig.first() * width;
  return {first, first + rig.sequences().size() * rig.config.model.context * width};
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

void expect_same_as_alone(const Config& config) {
  Rig alone(config, MPI_COMM_SELF), together(config, MPI_COMM_WORLD);
  const std::size_t k = config.moe.top_k, width = config.model.width;
  for (int step = 0; step < 2; ++step) {
    const Choice& whole = alone.forward(Pass::train, step);
    const Choice& part = together.forward(Pass::train, step);
    EXPECT_TRUE(same_bits(mine(host_values(whole.expert), together, k), host_values(part.expert)));
    EXPECT_TRUE(same_bits(mine(host_values(whole.weight), together, k), host_values(part.weight)));
    EXPECT_TRUE(same_bits(mine(host_values(whole.kept), together, k), host_values(part.kept)));
    alone.reduce(), together.reduce();
    EXPECT_TRUE(same_bits(mine(host_values(alone.backward()), together, width), host_values(together.backward())));
    alone.router.update_bias(step), together.router.update_bias(step);
    EXPECT_TRUE(same_bits(everything(alone.router.statistics(), alone.router.bias()),
                          everything(together.router.statistics(), together.router.bias())));
  }
}

TEST(Statistics, SameBitsOnAnyNumberOfRanks) {
  for (const RouterKind router : {RouterKind::softmax, RouterKind::sigmoid, RouterKind::noisy_topk, RouterKind::hash})
    for (const AuxScope scope : {AuxScope::sequence, AuxScope::grain, AuxScope::batch})
      for (const int experts : {1, 3, 70}) expect_same_as_alone(invariance_config(router, scope, experts));
}

TEST(Statistics, ConservationLaws) {
  const Config c = invariance_config(RouterKind::sigmoid, AuxScope::batch, 6);
  Rig rig(c, MPI_COMM_WORLD);
  rig.forward();
  rig.reduce();
  const LayerStatistics& s = rig.router.statistics();
  std::int64_t assigned = 0, margins = 0;
  double mass = 0.0;
  for (int e = 0; e < 6; ++e) {
    assigned += s.assigned[e], mass += s.prob_mass[e];
    EXPECT_LE(s.kept[e], s.assigned[e]);
  }
  for (const std::int64_t m : s.margin) margins += m;
  EXPECT_EQ(assigned, c.step_tokens() * 2);
  EXPECT_EQ(margins, c.step_tokens());
  EXPECT_NEAR(mass, static_cast<double>(c.step_tokens()), 1e-4);
}

}  // namespace
}  // namespace switchyard::moe
