// Activations against the double formulas, in place and beside, with vector tails.
#include "tensor/activation.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "reference/moe_layer.hpp"
#include "support/elements.hpp"
#include "support/queue.hpp"
#include "support/values.hpp"
#include "tensor/types.hpp"

namespace switchyard {
namespace {

using test::on_device;

std::vector<float> wave(int n, double step, double height) {
  std::vector<float> v(n);
  for (int i = 0; i < n; ++i) v[i] = static_cast<float>(height * std::sin(step * i + 0.3));
  return v;
}

template <class T>
Tensor row(const Vector<T>& v) {
  return {v.data(), element_of<T>, 1, static_cast<Index>(v.extent(0))};
}

Tensor one(const Vector<float>& v, Index i) { return {v.data() + i, Element::f32, 1, 1}; }

struct Given {
  std::vector<float> gate, up, dh;
};

void check(Activation kind, const Given& g) {
  const int n = static_cast<int>(g.up.size());
  const bool gated = activation::gated(kind);
  const Vector<float> gate = on_device(g.gate), up = on_device(g.up), hidden("hidden", n), dh = on_device(g.dh);
  activation::forward(test::queue(), kind, row(gate), row(up), row(hidden));
  activation::backward(test::queue(), kind, row(gate), row(up), row(dh));
  const std::vector<float> h = host_values(hidden), dg = host_values(gate), du = host_values(up);
  EXPECT_EQ(host_values(dh), g.dh);
  for (int i = 0; i < n; ++i) {
    double by_gate, by_up;
    reference::activate_gradient(kind, g.gate[i], g.up[i], by_gate, by_up);
    const double size = (1 + std::abs(g.gate[i])) * (1 + std::abs(g.up[i]));
    ASSERT_NEAR(h[i], reference::activate(kind, g.gate[i], g.up[i]), 3e-7 * size) << i;
    ASSERT_NEAR(du[i], g.dh[i] * by_up, 5e-7 * size * std::abs(g.dh[i]) + 1e-9) << i;
    if (gated) {
      ASSERT_NEAR(dg[i], g.dh[i] * by_gate, 5e-7 * size * std::abs(g.dh[i]) + 1e-9) << i;
    } else {
      ASSERT_EQ(dg[i], g.gate[i]) << i;
    }
  }
}

TEST(Activation, FollowsItsFormula) {
  for (Activation kind : {Activation::gelu, Activation::relu, Activation::swiglu})
    for (int n : {0, 1, 15, 16, 33, 2048, 5003}) {
      const Given given{wave(n, 0.7, 6), wave(n, 0.31, 5), wave(n, 0.11, 2)};
      check(kind, given);
    }
}

TEST(Activation, OfBf16RoundsWhatItWritesOnce) {
  for (Activation kind : {Activation::gelu, Activation::relu, Activation::swiglu}) {
    const int n = 533;
    const auto gate = test::elements_of<Bf16>(wave(n, 0.7, 3)), up = test::elements_of<Bf16>(wave(n, 0.31, 3)),
               dh = test::elements_of<Bf16>(wave(n, 0.11, 2)), hidden = test::elements_of<Bf16>(wave(n, 1, 1));
    const auto g = test::floats_of(gate), u = test::floats_of(up), d = test::floats_of(dh);
    activation::forward(test::queue(), kind, row(gate), row(up), row(hidden));
    const auto h = test::floats_of(hidden), slope = test::floats_of(up);
    activation::backward(test::queue(), kind, row(gate), row(up), row(dh));
    const auto du = test::floats_of(up);
    for (int i = 0; i < n; ++i) {
      double by_gate, by_up;
      reference::activate_gradient(kind, g[i], u[i], by_gate, by_up);
      const double value = reference::activate(kind, g[i], u[i]), unit = test::unit_of<Bf16>;
      ASSERT_NEAR(h[i], value, unit * std::abs(value) + 1e-6) << i;
      ASSERT_NEAR(slope[i], by_up, unit * std::abs(by_up) + 2e-6) << i;
      ASSERT_NEAR(du[i], d[i] * by_up, 2.1 * unit * std::abs(d[i] * by_up) + 1e-5) << i;
    }
  }
}

TEST(Activation, GradientIsTheSlopeOfTheValue) {
  const double h = 1e-5;
  for (Activation kind : {Activation::gelu, Activation::swiglu})
    for (double gate = -4; gate < 4; gate += 0.37)
      for (double up = -3; up < 3; up += 0.41) {
        double by_gate, by_up;
        reference::activate_gradient(kind, gate, up, by_gate, by_up);
        const auto slope = [&](double dg, double du) {
          return (reference::activate(kind, gate + dg, up + du) - reference::activate(kind, gate - dg, up - du)) /
                 (2 * h);
        };
        EXPECT_NEAR(by_up, slope(0, h), 1e-8);
        if (activation::gated(kind)) {
          EXPECT_NEAR(by_gate, slope(h, 0), 1e-8);
        }
      }
}

TEST(Activation, GeluIsExactToSinglePrecision) {  // also where Φ is small: errors relative to |x|, and to Φ
  double worst = 0.0, worst_tail = 0.0, worst_slope = 0.0;
  for (float x = -9.0f; x < 9.0f; x += 0.000317f) {
    double by_gate, by_up;
    reference::activate_gradient(Activation::gelu, 0.0, x, by_gate, by_up);
    const double expected = 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    const activation::Point p = activation::gelu_at(x);
    worst = std::max(worst, std::abs(p.hidden - expected) / (1e-30 + std::abs(x)));
    worst_tail = std::max(worst_tail, std::abs(p.hidden - expected) / (1e-30 + std::abs(expected)));
    worst_slope = std::max(worst_slope, std::abs(p.by_up - by_up));
  }
  EXPECT_LT(worst, 2e-7);
  EXPECT_LT(worst_slope, 2.5e-7);
  EXPECT_LT(worst_tail, 4e-6);
}

TEST(Activation, GivesTheSameBitsInAnyPlace) {  // a vector lane equals its scalar tail
  const Given g{wave(100, 0.7, 6), wave(100, 0.31, 5), {}};
  for (Activation kind : {Activation::gelu, Activation::relu, Activation::swiglu}) {
    const Vector<float> gates[2] = {on_device(g.gate), on_device(g.gate)}, ups[2] = {on_device(g.up), on_device(g.up)},
                        whole("whole", 100), single("single", 100);
    activation::forward(test::queue(), kind, row(gates[0]), row(ups[0]), row(whole));
    for (int i = 0; i < 100; ++i)
      activation::forward(test::queue(), kind, one(gates[1], i), one(ups[1], i), one(single, i));
    EXPECT_EQ(host_values(whole), host_values(single));
    EXPECT_EQ(host_values(ups[0]), host_values(ups[1]));
    EXPECT_EQ(host_values(gates[0]), host_values(gates[1]));
  }
}

}  // namespace
}  // namespace switchyard
