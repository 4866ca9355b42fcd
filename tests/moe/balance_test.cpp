// ranks: 1 2 3 4
// The bias of a stage, the sampling floor, and statistics that have the same bits on any number of ranks.
#include "reference/balance.hpp"

#include <gtest/gtest.h>

#include <random>

#include "moe/router_rig.hpp"
#include "moe/statistics.hpp"
#include "support/kinds.hpp"
#include "support/queue.hpp"
#include "support/refusal.hpp"

namespace switchyard::moe {
namespace {

using test::Rig;

std::vector<int> signs(const std::vector<float>& change) {
  std::vector<int> s;
  for (const float c : change) s.push_back((c > 0.0f) - (c < 0.0f));
  return s;
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
  rig.router.set_bias(test::queue(), bias);
  rig.forward();
  rig.reduce();
  const LayerStatistics& s = rig.statistics;
  EXPECT_EQ(s.assigned[0], 48);
  EXPECT_EQ(s.kept[0], 4 * 3);
  rig.router.update_bias(test::queue(), 0);
  EXPECT_LT(rig.router.bias()[0], bias[0]);
  for (int e = 1; e < 8; ++e)
    EXPECT_EQ(signs({rig.router.bias()[e]})[0], (s.assigned[e] < 12) - (s.assigned[e] > 12)) << e;
}

TEST(Balance, BiasFollowsTrainingCountsAndFreezes) {
  Config c = test::small_config(8, 3);
  c.moe.router = RouterKind::sigmoid;
  c.moe.bias_rule = BiasRule::proportional;
  c.moe.bias_rate = 0.01;
  c.moe.bias_until = 10;
  Rig rig(c, MPI_COMM_SELF);
  rig.router.update_bias(test::queue(), 0);  // no pass yet
  EXPECT_EQ(rig.router.bias(), std::vector<float>(8, 0.0f));
  rig.forward();
  rig.reduce();
  const auto counts = rig.statistics.assigned;
  rig.router.set_bias(test::queue(),
                      {5.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f});  // an evaluation with other counts
  rig.forward(Pass::evaluate, 4);
  rig.reduce();
  EXPECT_NE(rig.statistics.assigned, counts);
  rig.router.set_bias(test::queue(), std::vector<float>(8, 0.0f));
  rig.router.update_bias(test::queue(), 3);
  const auto want = reference::moved_bias(BiasRule::proportional, 0.01, counts, std::vector<double>(8, 0.0));
  for (int e = 0; e < 8; ++e) EXPECT_FLOAT_EQ(rig.router.bias()[e], static_cast<float>(want[e]));
  const auto frozen = rig.router.bias();
  rig.router.update_bias(test::queue(), 10);
  EXPECT_EQ(rig.router.bias(), frozen);
  rig.router.update_bias(test::queue(), 9);
  EXPECT_NE(rig.router.bias(), frozen);
}

TEST(Balance, AStageRefusesWhatIsNotItsTurn) {
  Rig rig(test::small_config(8, 2), MPI_COMM_SELF);
  const auto refusal = [](auto work) { return test::refusal(work); };
  const auto set = [&](const std::vector<float>& bias) { rig.router.set_bias(test::queue(), bias); };
  EXPECT_NE(refusal([&] { set(std::vector<float>(7, 0.0f)); }).find("expected a bias for every expert"),
            std::string::npos);
  EXPECT_NE(refusal([&] {
              set({0, 0, 0, 1e-9f, 0, 0, 0, 0});
            }).find("expected no bias without a bias rule"),
            std::string::npos);
  EXPECT_EQ(refusal([&] { set(std::vector<float>(8, -0.0f)); }), "");
  rig.router.update_bias(test::queue(), 1);
  EXPECT_EQ(rig.router.bias(), std::vector<float>(8, 0.0f)) << "nothing moves it";
  const std::string reduced = "expected reduced statistics of a training pass before backward";
  rig.forward();
  EXPECT_NE(refusal([&] { rig.backward(); }).find(reduced), std::string::npos) << "before they are reduced";
  rig.reduce();
  EXPECT_EQ(refusal([&] { rig.backward(); }), "");
  EXPECT_NE(refusal([&] { rig.backward(); }).find(reduced), std::string::npos) << "a second time";
  rig.forward(Pass::evaluate);
  rig.reduce();
  EXPECT_NE(refusal([&] { rig.backward(); }).find(reduced), std::string::npos) << "of an evaluation";
  TokenSet fewer = rig.tokens(Pass::train);
  --fewer.sequences.last;
  EXPECT_NE(refusal([&] { rig.router.forward(test::queue(), fewer, rig.x, *rig.pass); }).find("of a lane's grains"),
            std::string::npos);
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
  if (test::world_rank() > 0) return;
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
  all.insert(all.end(), s.cutoffs.begin(), s.cutoffs.end());
  all.insert(all.end(), {s.entropy, s.score_spread, s.mean_weight, s.aux_loss, s.importance_loss, s.z_loss});
  return all;
}

/// With every loss and a bias rule where the router can have them.
Config invariance_config(RouterKind router, AuxScope scope, int experts, BiasRule rule = BiasRule::proportional) {
  Config c = test::small_config(experts, std::min(experts, 2));
  c.train.batch = 14;
  c.train.grains = 7;
  c.moe.router = router;
  c.moe.aux_scope = scope;
  c.moe.capacity_factor = 0.9;
  Config more = c;
  more.moe.aux_loss = more.moe.importance_loss = more.moe.z_loss = 0.3;
  more.moe.importance_form = experts > 1 ? ImportanceForm::cv2 : ImportanceForm::squared_deviation;
  if (test::allowed(more)) c = more;
  more = c;
  more.moe.bias_rule = rule;
  return test::allowed(more) ? more : c;
}

/// This rank's rows of a whole result (rows, width).
template <class T>
std::vector<T> mine(const std::vector<T>& whole, const Rig& rig, std::size_t width) {
  return {whole.begin() + rig.rows().first * width, whole.begin() + rig.rows().last * width};
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
    alone.router.update_bias(test::queue(), step), together.router.update_bias(test::queue(), step);
    EXPECT_TRUE(same_bits(everything(alone.statistics, alone.router.bias()),
                          everything(together.statistics, together.router.bias())));
  }
}

TEST(Statistics, SameBitsOnAnyNumberOfRanks) {
  for (const RouterKind router : test::all_of<RouterKind>())
    for (const AuxScope scope : test::all_of<AuxScope>())
      for (const int experts : {1, 3, 70}) expect_same_as_alone(invariance_config(router, scope, experts));
  for (const int experts : {1, 3, 70}) {
    Config c = invariance_config(RouterKind::sigmoid, AuxScope::sequence, experts, BiasRule::quantile);
    expect_same_as_alone(c);
    c.moe.bias_rule = BiasRule::sign, c.moe.bias_unit = BiasUnit::spread;
    expect_same_as_alone(c);
  }
}

TEST(Statistics, ConservationLaws) {
  const Config c = invariance_config(RouterKind::sigmoid, AuxScope::batch, 6);
  Rig rig(c, MPI_COMM_WORLD);
  rig.forward();
  rig.reduce();
  const LayerStatistics& s = rig.statistics;
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
