// ranks: 1 2 3
// AdamW against the double reference over several steps, and the same bits for an element wherever it stands.
#include "train/optimizer.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>

#include "reference/adamw.hpp"
#include "train/parameters.hpp"

namespace switchyard::train {
namespace {

using test::read;
using test::spread;

TrainConfig config() {
  TrainConfig c;
  c.weight_decay = 0.1, c.beta1 = 0.9, c.beta2 = 0.95, c.epsilon = 1e-8;
  return c;
}

/// Writes the gradient of each step where gradient reduction would leave it.
void fill(const ParameterSet& parameters, Gradients& gradients, int step) {
  for (int p = 0; p < 2; ++p)
    if (!gradients.slab[p].data()) gradients.slab[p] = Vector<float>("sum", parameters.slab_size(Placement(p)));
  for (const Parameter& p : parameters.all()) {
    std::vector<float> values;
    for (Index e = p.experts.first; e < p.experts.last; ++e)
      for (Index i = 0; i < p.unit; ++i) values.push_back(spread(p.id, e, i, step));
    test::write_units(gradients.slab[static_cast<int>(p.placement)].data(), p, values);
  }
}

TEST(AdamW, FollowsTheReference) {
  test::Ranks ranks = test::make_ranks(0);
  ParameterSet& parameters = ranks.parameters;
  Gradients gradients;
  std::vector<std::vector<reference::AdamWState>> states;
  for (const Parameter& p : parameters.all()) {
    states.emplace_back(test::elements(p));
    if (!p.adds_to.empty()) continue;
    const auto values = test::read_units(parameters.values(p.placement).data(), p);
    for (Index i = 0; i < test::elements(p); ++i) states.back()[i].p = values[i];
  }
  for (int step = 1; step <= 12; ++step) {
    const double lr = 1e-3 * step, clip = step % 3 ? 0.37 : 1.0;
    fill(parameters, gradients, step);
    adamw(test::queue(), parameters, gradients, config(), {lr, clip, step});
    for (const Parameter& p : parameters.all())
      for (Index i = 0; p.adds_to.empty() && i < test::elements(p); ++i) {
        const double g = clip * spread(p.id, p.experts.first + i / p.unit, i % p.unit, step);
        reference::adamw(states[p.id][i], g, config(), lr, step, p.decay);
      }
  }
  for (const Parameter& p : parameters.all()) {
    if (!p.adds_to.empty()) continue;
    const auto values = test::read_units(parameters.values(p.placement).data(), p);
    const auto m = test::read_units(parameters.first_moments(p.placement).data(), p);
    const auto v = test::read_units(parameters.second_moments(p.placement).data(), p);
    for (Index i = 0; i < test::elements(p); ++i) {
      const auto& s = states[p.id][i];
      ASSERT_NEAR(values[i], s.p, 1e-6 * (1.0 + std::abs(s.p))) << p.name << " " << i;
      ASSERT_NEAR(m[i], s.m, 1e-6) << p.name << " " << i;
      ASSERT_NEAR(v[i], s.v, 2e-6 * s.v + 1e-30) << p.name << " " << i;
    }
  }
}

TEST(AdamW, OneStepByHand) {
  // m = 0.1·g, v = 0.05·g², both corrections exact: the step is −lr·sign(g), after p ← (1 − lr·wd)·p.
  const AdamW with = adamw_scalars(config(), {0.01, 1.0, 1}, true),
              without = adamw_scalars(config(), {0.01, 1.0, 1}, false);
  float p = 2.0f, m = 0.0f, v = 0.0f;
  adamw_element(with, -3.0f, p, m, v);
  EXPECT_NEAR(p, 2.0 * (1.0 - 0.001) + 0.01, 1e-6);
  EXPECT_NEAR(m, -0.3, 1e-7);
  EXPECT_NEAR(v, 0.45, 1e-7);
  p = 2.0f, m = 0.0f, v = 0.0f;
  adamw_element(without, -3.0f, p, m, v);
  EXPECT_NEAR(p, 2.01, 1e-6);
  p = 2.0f, m = 0.0f, v = 0.0f;
  adamw_element(without, 0.0f, p, m, v);
  EXPECT_EQ(p, 2.0f);
}

TEST(AdamW, AVectorLaneGivesTheBitsOfAScalar) {
  test::Ranks ranks = test::make_ranks(0);
  ParameterSet& parameters = ranks.parameters;
  Gradients gradients;
  std::vector<std::vector<float>> expected;
  for (int step = 1; step <= 2; ++step) {
    fill(parameters, gradients, step);
    expected.clear();
    const AdamW kinds[] = {adamw_scalars(config(), {1e-3, 0.7, step}, false),
                           adamw_scalars(config(), {1e-3, 0.7, step}, true)};
    for (const Parameter& p : parameters.all()) {
      expected.emplace_back();
      if (!p.adds_to.empty()) continue;
      expected.back() = test::read_units(parameters.values(p.placement).data(), p);
      auto m = test::read_units(parameters.first_moments(p.placement).data(), p);
      auto v = test::read_units(parameters.second_moments(p.placement).data(), p);
      for (Index i = 0; i < test::elements(p); ++i)
        adamw_element(kinds[p.decay], spread(p.id, p.experts.first + i / p.unit, i % p.unit, step), expected.back()[i],
                      m[i], v[i]);
    }
    adamw(test::queue(), parameters, gradients, config(), {1e-3, 0.7, step});
  }
  for (const Parameter& p : parameters.all()) {
    if (!p.adds_to.empty()) continue;
    const auto values = test::read_units(parameters.values(p.placement).data(), p);
    ASSERT_EQ(values.size(), expected[p.id].size());
    for (std::size_t i = 0; i < values.size(); ++i)
      EXPECT_EQ(std::bit_cast<std::uint32_t>(values[i]), std::bit_cast<std::uint32_t>(expected[p.id][i])) << p.name;
  }
}

}  // namespace
}  // namespace switchyard::train
