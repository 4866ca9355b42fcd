// A layer on one rank: the double reference, slopes, and what is said of experts that go wrong.
#include <gtest/gtest.h>

#include "layer_cases.hpp"
#include "reference/moe_layer.hpp"
#include "support/queue.hpp"

namespace switchyard::moe::testing {
namespace {

struct Results {
  explicit Results(LayerProblem& p)
      : dx(host_values(p.dx)), gradients{p.gradient_sum(Placement::replicated), p.gradient_sum(Placement::expert)} {}
  std::vector<float> dx, gradients[2];
};

TEST(LayerAlone, RefusesASampleOfTokensWithUnequalChoices) {
  LayerProblem p(MPI_COMM_SELF, cases().front(), 1);
  p.forward();
  Kokkos::deep_copy(Kokkos::subview(p.pass->routing.choice().first, 1), 0);  // the first token none, the second more
  EXPECT_ANY_THROW(sample_of(*p.pass));
}

/// Of an expert, from its chunks.
reference::Doubles matrix_of(const std::vector<float>& slab, const Parameter& q, int expert) {
  const Index whole = q.shape.back() * (q.chunks_of_input ? q.chunks : 1), width = q.shape.back();
  reference::Doubles matrix(q.unit * q.chunks);
  for (Index chunk = 0; chunk < q.chunks; ++chunk)
    for (Index i = 0; i < q.unit; ++i) {
      const Index at = q.chunks_of_input ? i / width * whole + chunk * width + i % width : chunk * q.unit + i;
      matrix[at] = slab[q.offset + (expert * q.chunks + chunk) * q.stride + i];
    }
  return matrix;
}

reference::FeedForward network(const LayerProblem& p, const std::string& part, Placement placement, int expert) {
  const std::vector<float> slab = host_values(p.parameters.values(placement));
  const auto weight = [&](const char* matrix) {
    const int id = p.parameters.find("blocks.0.moe." + part + "." + matrix + ".weight");
    if (id < 0) return reference::Doubles();
    return matrix_of(slab, p.parameters[id], expert);
  };
  const reference::Doubles up = weight("up");
  const int d = p.config.model.width;
  return {p.config.model.activation, d, static_cast<int>(up.size()) / d, weight("gate"), up, weight("down")};
}

TEST(LayerAlone, FollowsTheReference) {
  for (const LayerCase& c : cases()) {
    SCOPED_TRACE(c.name);
    LayerProblem p(MPI_COMM_SELF, c, 1);
    p.forward();
    const RoutingSample s = sample_of(*p.pass);
    const int tokens = static_cast<int>(p.rows().size()), d = c.width;
    std::vector<reference::FeedForward> experts;
    for (int e = 0; e < c.experts; ++e) experts.push_back(network(p, "experts", Placement::expert, e));
    const std::vector<float> x32 = host_values(p.x), start = host_values(test::filled(3, p.rows(), d)),
                             got = host_values(p.y);
    const reference::Doubles x(x32.begin(), x32.end());
    reference::Doubles y(start.begin(), start.end());
    reference::mixture({tokens, c.top_k, s.experts, s.weights, s.kept}, experts, x, y);
    for (int t = 0; c.shared > 0 && t < tokens; ++t) {
      const auto out = reference::forward(network(p, "shared", Placement::replicated, 0), &x[t * d]);
      for (int i = 0; i < d; ++i) y[t * d + i] += out[i];
    }
    for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(got[i], y[i], 1e-5 * (1 + std::abs(y[i]))) << i;
  }
}

/// <dy, y> plus the balancing loss, with x and all parameters moved by h along a direction; `experts` were chosen.
double loss(const LayerCase& c, double h, int direction, std::vector<std::int32_t>& experts) {
  LayerProblem p(MPI_COMM_SELF, c, 1);
  const auto move = [&](float* data, std::size_t n, int stream) {
    const Kokkos::View<float*, Kokkos::LayoutRight, Device::memory_space> device(data, n);
    const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace{}, device);
    for (std::size_t i = 0; i < n; ++i) host(i) += static_cast<float>(h * test::value(direction + stream, i, 0));
    Kokkos::deep_copy(device, host);
  };
  move(p.x.data(), p.x.size(), 0);
  for (Placement placement : {Placement::replicated, Placement::expert})
    move(p.parameters.values(placement).data(), p.parameters.slab_size(placement), 1 + static_cast<int>(placement));
  p.forward();
  experts = sample_of(*p.pass).experts;
  double sum = p.layer.statistics().aux_loss;
  const std::vector<float> y = host_values(p.y), dy = host_values(p.dy);
  for (std::size_t i = 0; i < y.size(); ++i) sum += static_cast<double>(y[i]) * dy[i];
  return sum;
}

double along(const std::vector<float>& gradient, int stream) {
  double sum = 0.0;
  for (std::size_t i = 0; i < gradient.size(); ++i) sum += static_cast<double>(gradient[i]) * test::value(stream, i, 0);
  return sum;
}

TEST(LayerAlone, GradientIsTheSlope) {
  for (LayerCase c : cases()) {
    if (c.capacity > 0.0 || c.activation == Activation::relu) continue;  // not smooth
    SCOPED_TRACE(c.name);
    c.grains = 1;
    LayerProblem p(MPI_COMM_SELF, c, 1);
    p.forward();
    p.backward();
    const Results r(p);
    int slopes = 0;
    for (int direction = 100; direction < 180 && slopes < 3; direction += 4) {
      std::vector<std::int32_t> above, below;
      const double h = 3e-4;
      const double slope = (loss(c, h, direction, above) - loss(c, -h, direction, below)) / (2 * h);
      if (above != below) continue;  // a jump of the selection has no slope
      ++slopes;
      const double expected =
          along(r.dx, direction) + along(r.gradients[0], direction + 1) + along(r.gradients[1], direction + 2);
      EXPECT_NEAR(slope, expected, 0.01 * (1 + std::abs(expected)));
    }
    EXPECT_EQ(slopes, 3);
  }
}

TEST(LayerAlone, NamesTheExpertOfTheFirstNonFiniteOutput) {
  const LayerCase& c = cases()[2];
  LayerProblem p(MPI_COMM_SELF, c, 1);
  p.forward();
  EXPECT_EQ(first_non_finite_expert(test::queue(), *p.pass), -1);
  const Parameter& q = p.parameters[p.parameters.find("blocks.0.moe.experts.down.weight")];
  const auto v = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace{}, p.parameters.values(Placement::expert));
  v(q.offset + 2 * q.stride + 5) = INFINITY;
  Kokkos::deep_copy(p.parameters.values(Placement::expert), v);
  p.forward();
  EXPECT_EQ(first_non_finite_expert(test::queue(), *p.pass), 2);
}

}  // namespace
}  // namespace switchyard::moe::testing
