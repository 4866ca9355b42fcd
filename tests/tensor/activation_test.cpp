// Activations against the double formulas, in place and beside, with vector tails.
#include "tensor/activation.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "reference/moe_layer.hpp"
#include "tensor/types.hpp"

namespace switchyard {
namespace {

Vector<float> on_device(const std::vector<float>& v) {
  const HostVector<float> host("host", v.size());
  for (std::size_t i = 0; i < v.size(); ++i) host(i) = v[i];
  return Kokkos::create_mirror_view_and_copy(Device::memory_space{}, host);
}

std::vector<float> on_host(const Vector<float>& v) {
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace{}, v);
  return {host.data(), host.data() + host.size()};
}

std::vector<float> wave(int n, double step, double height) {
  std::vector<float> v(n);
  for (int i = 0; i < n; ++i) v[i] = static_cast<float>(height * std::sin(step * i + 0.3));
  return v;
}

struct Given {
  std::vector<float> gate, up, dh;
};

void check_forward(Activation kind, const Given& g) {
  const int n = static_cast<int>(g.up.size());
  const Vector<float> gate = on_device(g.gate), up = on_device(g.up), hidden("hidden", n);
  activation::forward(kind, n, activation::gated(kind) ? gate.data() : nullptr, up.data(), hidden.data());
  const std::vector<float> h = on_host(hidden);
  for (int i = 0; i < n; ++i)
    ASSERT_NEAR(h[i], reference::activate(kind, g.gate[i], g.up[i]), 3e-7 * (1 + std::abs(g.gate[i] * g.up[i]))) << i;
  activation::forward(kind, n, activation::gated(kind) ? gate.data() : nullptr, up.data(), up.data());
  EXPECT_EQ(on_host(up), h);
}

void check_backward(Activation kind, const Given& g) {
  const int n = static_cast<int>(g.up.size());
  const Vector<float> gate = on_device(g.gate), up = on_device(g.up), dh = on_device(g.dh), d_gate("d_gate", n),
                      d_up("d_up", n);
  const bool gated = activation::gated(kind);
  activation::backward(kind, n, gated ? gate.data() : nullptr, up.data(), dh.data(), gated ? d_gate.data() : nullptr,
                       d_up.data());
  const std::vector<float> dg = on_host(d_gate), du = on_host(d_up);
  for (int i = 0; i < n; ++i) {
    double by_gate, by_up;
    reference::activate_gradient(kind, g.gate[i], g.up[i], by_gate, by_up);
    const double tolerance = 1e-6 * (1 + std::abs(g.gate[i])) * (1 + std::abs(g.up[i])) * std::abs(g.dh[i]) + 1e-9;
    ASSERT_NEAR(du[i], g.dh[i] * by_up, tolerance) << i;
    if (gated) {
      ASSERT_NEAR(dg[i], g.dh[i] * by_gate, tolerance) << i;
    }
  }
  activation::backward(kind, n, gated ? gate.data() : nullptr, up.data(), dh.data(), gated ? gate.data() : nullptr,
                       dh.data());
  EXPECT_EQ(on_host(dh), du);
  if (gated) {
    EXPECT_EQ(on_host(gate), dg);
  }
}

TEST(Activation, FollowsItsFormula) {
  for (Activation kind : {Activation::gelu, Activation::relu, Activation::swiglu})
    for (int n : {0, 1, 15, 16, 33, 2048, 5003}) {
      const Given given{wave(n, 0.7, 6), wave(n, 0.31, 5), wave(n, 0.11, 2)};
      check_forward(kind, given);
      check_backward(kind, given);
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

TEST(Activation, GivesTheSameBitsInAnyPlace) {  // a vector lane equals its scalar tail
  const Given g{wave(100, 0.7, 6), wave(100, 0.31, 5), {}};
  for (Activation kind : {Activation::gelu, Activation::relu, Activation::swiglu}) {
    const Vector<float> gate = on_device(g.gate), up = on_device(g.up), whole("whole", 100), single("single", 100);
    activation::forward(kind, 100, gate.data(), up.data(), whole.data());
    for (int i = 0; i < 100; ++i) activation::forward(kind, 1, gate.data() + i, up.data() + i, single.data() + i);
    EXPECT_EQ(on_host(whole), on_host(single));
  }
}

}  // namespace
}  // namespace switchyard
