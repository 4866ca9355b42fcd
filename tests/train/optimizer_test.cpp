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
    for (const std::int64_t e : p.held)
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
        const double g = clip * spread(p.id, p.held[i / p.unit], i % p.unit, step);
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

/// Slabs of values and moments.
struct Slabs {
  std::vector<float> values, first, second;
  Slabs(const ParameterSet& parameters, Placement p)
      : values(host_values(parameters.values(p))),
        first(host_values(parameters.first_moments(p))),
        second(host_values(parameters.second_moments(p))) {}
};

// With shards a rank moves what it owns as without, keeps its moments one after another, and leaves the rest alone.
TEST(AdamW, AShardMovesAsTheWholeDoes) {
  for (const int degree : test::degrees())
    for (const std::vector<Range>& buckets : test::bucketings) {
      test::Ranks all = test::make_ranks(degree),
                  some = test::make_ranks(degree, 8, test::tensors_of_every_kind(), buckets);
      const Slabs before[] = {{some.parameters, Placement::replicated}, {some.parameters, Placement::expert}};
      for (test::Ranks* ranks : {&all, &some})
        for (int step = 1; step <= 3; ++step) {
          Gradients gradients;
          fill(ranks->parameters, gradients, step);
          adamw(test::queue(), ranks->parameters, gradients, config(), {1e-3, 0.7, step});
        }
      for (const Placement placement : {Placement::replicated, Placement::expert}) {
        const Slabs whole(all.parameters, placement), part(some.parameters, placement);
        EXPECT_EQ(std::ssize(part.first), elements_of(some.parameters.shard(placement)));
        for (Index i = 0; i < std::ssize(whole.values); ++i) {
          const Piece* piece = test::piece_with(some.parameters, placement, i);
          ASSERT_EQ(part.values[i], piece ? whole.values[i] : before[static_cast<int>(placement)].values[i]) << i;
          if (!piece) continue;
          ASSERT_EQ(part.first[piece->at + i - piece->elements.first], whole.first[i]) << i;
          ASSERT_EQ(part.second[piece->at + i - piece->elements.first], whole.second[i]) << i;
        }
      }
    }
}

// A router moves by its share of the rate, and decays by it; the others as if there were none.
TEST(AdamW, ARouterHasARateOfItsOwn) {
  std::vector<TensorSpec> tensors = test::tensors_of_every_kind();
  for (TensorSpec& t : tensors)
    if (t.name == "dense.weight") t.role = Role::router;
  const auto moved = [&](double share, double rate) {
    test::Ranks ranks = test::make_ranks(0, 8, tensors);
    Gradients gradients;
    fill(ranks.parameters, gradients, 1);
    TrainConfig c = config();
    c.router_rate = share;
    adamw(test::queue(), ranks.parameters, gradients, c, {rate, 0.5, 1});
    std::vector<std::vector<float>> values;
    for (const Parameter& p : ranks.parameters.all())
      values.push_back(test::read_units(ranks.parameters.values(p.placement).data(), p));
    return values;
  };
  const auto own = moved(0.25, 4e-3), slow = moved(1.0, 1e-3), fast = moved(1.0, 4e-3), still = moved(0.0, 4e-3),
             begun = moved(1.0, 0.0);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const bool router = tensors[i].role == Role::router;
    EXPECT_EQ(own[i], router ? slow[i] : fast[i]) << tensors[i].name;
    if (own[i].empty()) continue;  // experts that this rank does not have
    EXPECT_EQ(still[i] == begun[i], router || tensors[i].adds_to != "") << tensors[i].name;
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

// An element that never had a gradient: a token that no text has. The smallest epsilon that rules allow is 0 in float.
TEST(AdamW, AnElementWithoutAGradientOnlyDecays) {
  for (const double epsilon : {5e-324, 1e-60, 1e-45, 1e-8, 1e30}) {
    TrainConfig c = config();
    c.epsilon = epsilon;
    float p = 2.0f, m = 0.0f, v = 0.0f;
    for (int step = 1; step <= 3; ++step) adamw_element(adamw_scalars(c, {0.01, 0.5, step}, true), 0.0f, p, m, v);
    EXPECT_NEAR(p, 2.0 * std::pow(0.999, 3), 1e-6) << epsilon;
    adamw_element(adamw_scalars(c, {0.01, 1.0, 4}, false), 1e-20f, p, m, v);
    EXPECT_TRUE(std::isfinite(p)) << epsilon;
  }
}

// Options and steps at their bounds against the definition, element by element.
TEST(AdamW, FollowsTheReferenceAtTheBoundsOfItsOptions) {
  const struct {
    const char* name;
    double beta1, beta2, decay, rate;
    std::int64_t step;
  } rows[] = {{"no moments", 0.0, 0.0, 0.1, 1e-3, 1},
              {"no first moment, late", 0.0, 0.999, 0.1, 1e-3, 1000000000},
              {"long memory, early", 0.9999999, 0.9999999, 0.1, 1e-3, 1},
              {"decay that takes all", 0.9, 0.95, 100.0, 1e-2, 3},
              {"no decay", 0.9, 0.95, 0.0, 1e-2, 3},
              {"no rate", 0.9, 0.95, 0.1, 0.0, 3}};
  for (const auto& row : rows)
    for (const float gradient : {-1e8f, -1.0f, 1e-2f, 3e4f}) {
      TrainConfig c = config();
      c.beta1 = row.beta1, c.beta2 = row.beta2, c.weight_decay = row.decay;
      float p = 0.75f, m = 0.125f, v = 0.25f;
      reference::AdamWState wanted{p, m, v};
      adamw_element(adamw_scalars(c, {row.rate, 0.5, row.step}, true), gradient, p, m, v);
      reference::adamw(wanted, 0.5 * gradient, c, row.rate, row.step, true);
      EXPECT_NEAR(p, wanted.p, 3e-7 * (1.0 + std::abs(wanted.p))) << row.name << " " << gradient;
      EXPECT_NEAR(m, wanted.m, 3e-7 * (0.125 + std::abs(wanted.m))) << row.name << " " << gradient;
      EXPECT_NEAR(v, wanted.v, 3e-7 * wanted.v) << row.name << " " << gradient;
    }
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
        adamw_element(kinds[p.decay], spread(p.id, p.held[i / p.unit], i % p.unit, step), expected.back()[i], m[i],
                      v[i]);
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
