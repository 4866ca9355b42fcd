// The expert feed-forward against the double reference, experts and grains without rows among them.
#include "nn/feed_forward.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>

#include "reference/moe_layer.hpp"
#include "support/parameters.hpp"
#include "support/queue.hpp"

namespace switchyard::nn {
namespace {

struct Case {
  Activation activation;
  Placement placement;
  int d, f;
  std::vector<std::vector<int>> counts;  ///< (experts, grains) rows
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all{{Activation::gelu, Placement::expert, 20, 24, {{3, 0, 1}, {0, 0, 0}, {2, 5, 4}}},
                                     {Activation::relu, Placement::expert, 16, 33, {{1, 1, 1}}},
                                     {Activation::swiglu, Placement::expert, 7, 18, {{0, 0, 2}, {4, 3, 0}}},
                                     {Activation::swiglu, Placement::replicated, 32, 40, {{5, 5, 5}}},
                                     {Activation::gelu, Placement::expert, 8, 8, {{0, 0, 0}, {0, 0, 0}}}};
  return all;
}

float value(int stream, Index i) { return static_cast<float>(std::sin(0.37 * i + 1.7 * stream + 0.1 * (i % 13))); }

Vector<float> filled(int stream, Index n) {
  const HostVector<float> host("host", n);
  for (Index i = 0; i < n; ++i) host(i) = value(stream, i);
  return Kokkos::create_mirror_view_and_copy(Device::memory_space{}, host);
}

/// The tensors of the case's network.
std::vector<TensorSpec> tensors(const Case& c) {
  std::vector<TensorSpec> all;
  const auto add = [&](const std::string& matrix, std::int64_t out, std::int64_t in, double std) {
    std::vector<std::int64_t> shape{out, in};
    if (c.placement == Placement::expert) shape.insert(shape.begin(), static_cast<std::int64_t>(c.counts.size()));
    all.push_back(test::tensor("net." + matrix + ".weight", shape, c.placement, std));
  };
  if (c.activation == Activation::swiglu) add("gate", c.f, c.d, 0.4);
  add("up", c.f, c.d, 0.4);
  add("down", c.d, c.f, 0.3);
  return all;
}

/// The case's parameters, rows and network; weights of the network in double.
struct Problem {
  explicit Problem(const Case& c)
      : trial(c),
        layout{1, 0, 1, static_cast<int>(c.counts[0].size())},
        parameters(layout, tensors(c)),
        network(parameters, "net", c.activation),
        pass("test::pass", Account::expert_rows, Tensor{nullptr, Element::f32, 1, c.f},
             c.activation) {  // which has to grow
    parameters.allocate(test::queue(), 5);
    for (const auto& expert : c.counts) {
      for (int count : expert) piece_offsets.push_back(piece_offsets.back() + count);
      offsets.push_back(piece_offsets.back());
    }
    networks.emplace(offsets), pieces.emplace(piece_offsets);
    test::fill_gradients(parameters, c.placement, std::numeric_limits<float>::quiet_NaN());
  }
  int experts() const { return static_cast<int>(trial.counts.size()); }
  Index rows() const { return offsets.back(); }
  NetworkRows cut() const { return {*networks, *pieces, layout.grains, &parameters.nodes(trial.placement), {}}; }
  FeedForwardRows kept() {
    pass->reserve(rows());
    return pass->rows(0, rows());
  }
  Matrix<float> filled(int salt) const {
    const Matrix<float> m("test::rows", rows(), trial.d);
    Kokkos::deep_copy(Vector<float>(m.data(), m.size()), nn::filled(salt, m.size()));
    return m;
  }

  reference::Doubles weight(const std::string& matrix, int expert) const {
    const int id = parameters.find("net." + matrix + ".weight");
    if (id < 0) return {};
    const Parameter& p = parameters[id];
    const std::vector<float> all = test::read_units(parameters.values(trial.placement).data(), p);
    return {all.begin() + expert * p.unit, all.begin() + (expert + 1) * p.unit};
  }
  reference::FeedForward reference_network(int e) const {
    return {trial.activation, trial.d, trial.f, weight("gate", e), weight("up", e), weight("down", e)};
  }

  Case trial;
  Layout layout;
  ParameterSet parameters;
  FeedForward network;
  Placed<FeedForwardPass> pass;
  std::vector<Index> offsets{0}, piece_offsets{0};
  std::optional<products::SegmentTable> networks, pieces;
};

void expect_close(float got, double expected, double scale) { ASSERT_NEAR(got, expected, 2e-6 * (scale + 1)); }

void check_gradient(const Problem& p, const std::string& matrix, int expert, const reference::Doubles& expected) {
  const int id = p.parameters.find("net." + matrix + ".weight");
  if (id < 0) return;
  const Parameter& q = p.parameters[id];
  const std::vector<float> sum = test::node_sum(p.parameters, q);
  for (Index i = 0; i < q.unit; ++i) expect_close(sum[expert * q.unit + i], expected[i], 10 * std::abs(expected[i]));
}

void check(const Case& c) {
  Problem p(c);
  const Matrix<float> x = p.filled(1), out = p.filled(2), dy = p.filled(3), dx = p.filled(4);
  p.network.forward(test::queue(), p.cut().networks, x, {out, products::Write::add}, p.kept());
  p.network.backward(test::queue(), p.cut(), x, {dy, dy}, {dx, products::Write::add}, p.kept());
  const std::vector<float> got = host_values(out), got_dx = host_values(dx);
  for (int e = 0; e < p.experts(); ++e) {
    const reference::FeedForward net = p.reference_network(e);
    reference::FeedForward gradient = net;
    for (auto* m : {&gradient.gate, &gradient.up, &gradient.down}) m->assign(m->size(), 0.0);
    for (Index r = p.offsets[e]; r < p.offsets[e + 1]; ++r) {
      reference::Doubles row(c.d), dy_row(c.d), dx_row(c.d, 0.0);
      for (int i = 0; i < c.d; ++i) row[i] = value(1, r * c.d + i), dy_row[i] = value(3, r * c.d + i);
      const reference::Doubles y = reference::forward(net, row.data());
      reference::backward(net, row.data(), dy_row.data(), gradient, dx_row.data());
      for (int i = 0; i < c.d; ++i) {
        expect_close(got[r * c.d + i], value(2, r * c.d + i) + y[i], 10);
        expect_close(got_dx[r * c.d + i], value(4, r * c.d + i) + dx_row[i], 10);
      }
    }
    check_gradient(p, "gate", e, gradient.gate);
    check_gradient(p, "up", e, gradient.up);
    check_gradient(p, "down", e, gradient.down);
  }
}

TEST(Experts, FollowTheReference) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.d);
    check(c);
  }
}

std::vector<float> gradients(const Problem& p) {
  std::vector<float> all;
  for (const Parameter& q : p.parameters.all())
    for (const float g : test::node_sum(p.parameters, q)) all.push_back(g);
  return all;
}

TEST(Experts, WeightGradientsMayComeLater) {
  for (const Case& c : cases()) {
    Problem p(c);
    const Matrix<float> x = p.filled(1), out = p.filled(2), dy = p.filled(3), dx = p.filled(4), later = p.filled(5);
    p.network.forward(test::queue(), p.cut().networks, x, {out}, p.kept());
    p.network.backward(test::queue(), p.cut(), x, {dy, dy}, {dx}, p.kept());
    const std::vector<float> at_once = gradients(p);
    test::fill_gradients(p.parameters, c.placement, std::numeric_limits<float>::quiet_NaN());
    const Matrix<float> d_hidden("test::d_hidden", p.rows(), c.f);
    p.network.forward(test::queue(), p.cut().networks, x, {out}, p.kept());
    p.network.input_gradient(test::queue(), p.cut().networks, dy, {later}, p.kept(), d_hidden);
    p.network.weight_gradients(test::queue(), p.cut(), x, dy, p.kept());
    EXPECT_EQ(host_values(later), host_values(dx));
    EXPECT_EQ(gradients(p), at_once);
  }
}

TEST(Experts, ReferenceGradientIsTheSlope) {
  for (Activation kind : {Activation::gelu, Activation::swiglu}) {
    const Problem p({kind, Placement::expert, 6, 5, {{1}}});
    const reference::FeedForward net = p.reference_network(0);
    const reference::Doubles dy{0.3, -1, 0.5, 2, -0.7, 1.1}, x{1, -0.4, 0.2, 0.9, -1.3, 0.6};
    const auto loss = [&](const reference::FeedForward& n, const reference::Doubles& at) {
      double sum = 0.0;
      const reference::Doubles y = reference::forward(n, at.data());
      for (int c = 0; c < 6; ++c) sum += dy[c] * y[c];
      return sum;
    };
    reference::FeedForward gradient = net;
    for (auto* m : {&gradient.gate, &gradient.up, &gradient.down}) m->assign(m->size(), 0.0);
    reference::Doubles dx(6, 0.0);
    reference::backward(net, x.data(), dy.data(), gradient, dx.data());
    const double h = 1e-5;
    for (auto m : {&reference::FeedForward::gate, &reference::FeedForward::up, &reference::FeedForward::down})
      for (std::size_t i = 0; i < (net.*m).size(); ++i) {
        reference::FeedForward above = net, below = net;
        (above.*m)[i] += h, (below.*m)[i] -= h;
        EXPECT_NEAR((gradient.*m)[i], (loss(above, x) - loss(below, x)) / (2 * h), 1e-8);
      }
    for (int c = 0; c < 6; ++c) {
      reference::Doubles above = x, below = x;
      above[c] += h, below[c] -= h;
      EXPECT_NEAR(dx[c], (loss(net, above) - loss(net, below)) / (2 * h), 1e-8);
    }
  }
}

}  // namespace
}  // namespace switchyard::nn
