// ranks: 1 2 3 4 5 8
// The whole layer: the same bits on every layout as on one rank, the double reference, slopes, and conservation laws.
#include "moe/layer.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <numeric>

#include "layer_problem.hpp"
#include "reference/moe_layer.hpp"
#include "support/kinds.hpp"
#include "support/queue.hpp"

namespace switchyard::moe::testing {
namespace {

std::vector<LayerCase> with_every_router(std::vector<LayerCase> cases) {
  for (const RouterKind router : test::all_of<RouterKind>())
    cases.push_back({test::name_of(router).c_str(), 5, 2, 3, Activation::gelu, router});
  return cases;
}

LayerCase in_chunks(LayerCase c, int hidden_chunks) {
  c.hidden_chunks = hidden_chunks;
  return c;
}

const std::vector<LayerCase>& cases() {
  constexpr Activation gelu = Activation::gelu, relu = Activation::relu, swiglu = Activation::swiglu;
  constexpr RouterKind softmax = RouterKind::softmax, sigmoid = RouterKind::sigmoid, noisy = RouterKind::noisy_topk;
  constexpr ExchangeKind straight = ExchangeKind::pairwise, collective = ExchangeKind::alltoallv,
                         by_node = ExchangeKind::node, gather = ExchangeKind::gather;
  static const std::vector<LayerCase> all = with_every_router(
      {{"one expert", 1, 1, 8},
       {"two experts", 2, 1, 8, relu},
       {"three experts, two choices", 3, 2, 8, gelu, softmax, 0, 0.0, 0.01},
       {"eight gated experts", 8, 2, 8, swiglu, sigmoid, 0, 0.0, 0.02},
       {"shared expert, six grains", 8, 2, 6, swiglu, softmax, 1},
       {"five grains, capacity", 3, 2, 5, gelu, softmax, 2, 0.7, 0.01},
       {"one grain", 8, 1, 1, gelu, noisy},
       {"many experts", 257, 1, 8, gelu, softmax, 0, 0.0, 0.01},
       {"many gated experts, two choices", 257, 2, 7, swiglu, sigmoid, 1},
       {"tokens alike", 8, 2, 8, gelu, softmax, 0, 0.0, 0.01, true},
       {"tokens alike, capacity", 8, 1, 4, gelu, softmax, 0, 1.0, 0.0, true},
       {"full vectors, collective", 8, 2, 8, gelu, softmax, 0, 1.25, 0.01, false, 32, collective},
       {"many experts, collective", 257, 2, 3, relu, softmax, 0, 0.0, 0.0, false, 16, collective},
       {"sums of two groups", 8, 3, 8, gelu, softmax, 1, 0.0, 0.01, false, 20, straight, 2},
       {"sums of more groups than experts", 5, 3, 8, swiglu, sigmoid, 0, 0.9, 0.0, false, 37, straight, 8},
       {"by nodes", 8, 3, 8, gelu, softmax, 1, 0.0, 0.01, false, 20, by_node},
       {"by nodes, capacity", 7, 2, 6, swiglu, sigmoid, 0, 0.8, 0.01, false, 37, by_node},
       {"sums by nodes", 8, 3, 8, gelu, softmax, 1, 0.0, 0.01, false, 20, by_node, 8},
       {"sums by nodes, capacity", 13, 4, 5, swiglu, sigmoid, 0, 0.8, 0.0, false, 16, by_node, 8},
       {"by nodes, tokens alike", 8, 2, 8, gelu, softmax, 0, 0.0, 0.0, true, 20, by_node, 4},
       {"by nodes, one choice", 257, 1, 3, relu, softmax, 0, 0.0, 0.0, false, 16, by_node, 2},
       {"gathered", 8, 3, 8, gelu, softmax, 1, 0.0, 0.01, false, 20, gather},
       {"gathered, sums home, capacity", 13, 4, 5, swiglu, sigmoid, 0, 0.8, 0.0, false, 16, gather, 8},
       in_chunks({"two chunks", 5, 2, 8, swiglu, sigmoid, 1, 0.0, 0.01}, 2),
       in_chunks({"eight chunks, capacity", 3, 2, 6, gelu, softmax, 0, 0.8, 0.0, false, 16}, 8),
       in_chunks({"four chunks, collective", 8, 1, 3, relu, softmax, 0, 0.0, 0.0, false, 20, collective}, 4),
       in_chunks({"four chunks, sums by nodes", 8, 3, 8, gelu, softmax, 0, 0.0, 0.01, false, 20, by_node, 8}, 4),
       in_chunks({"two chunks by nodes", 7, 2, 4, swiglu, sigmoid, 0, 0.0, 0.0, false, 20, by_node}, 2)});
  return all;
}

/// The same in teams of every size that fits `places` ranks of a node.
std::vector<LayerCase> in_teams(LayerCase c, int places) {
  std::vector<LayerCase> all;
  for (c.team = 1; c.team <= c.hidden_chunks; c.team *= 2)
    if (places % c.team == 0) all.push_back(c);
  return all;
}

/// The same on nodes of one rank, of as many as there can be while there are two, and on one node, with teams of every
/// size that fits them.
std::vector<LayerCase> on_nodes(const LayerCase& c, int expert_parallel) {
  if (c.exchange != ExchangeKind::node) return in_teams(c, expert_parallel);
  std::vector<LayerCase> all;
  for (const int nodes : {expert_parallel, 2, 1})
    if (expert_parallel % nodes == 0 && (all.empty() || all.back().ranks_per_node < expert_parallel / nodes)) {
      LayerCase of = c;
      of.ranks_per_node = expert_parallel / nodes;
      const std::vector<LayerCase> teams = in_teams(of, of.ranks_per_node);
      all.insert(all.end(), teams.begin(), teams.end());
    }
  return all;
}

/// Bits, so that signed zeros count.
void expect_same_bits(const float* got, const float* expected, std::size_t n, const std::string& what) {
  for (std::size_t i = 0; i < n; ++i)
    ASSERT_EQ(std::memcmp(got + i, expected + i, sizeof(float)), 0)
        << what << "[" << i << "]: " << got[i] << " instead of " << expected[i];
}

struct Results {
  explicit Results(LayerProblem& p)
      : y(host_values(p.y)),
        dx(host_values(p.dx)),
        gradients{p.gradient_sum(Placement::replicated), p.gradient_sum(Placement::expert)} {}
  std::vector<float> y, dx, gradients[2];
};

void compare_gradients(const LayerProblem& p, const Results& got, const LayerProblem& one, const Results& expected) {
  ASSERT_EQ(p.parameters.all().size(), one.parameters.all().size());
  for (const Parameter& q : p.parameters.all()) {
    const Parameter& whole = one.parameters[q.id];
    const int slab = static_cast<int>(q.placement);
    for (Index u = 0; u < q.local_units(); ++u)
      expect_same_bits(got.gradients[slab].data() + q.offset + u * q.stride,
                       expected.gradients[slab].data() + whole.offset + whole.local_unit(q.held[u]) * q.stride,
                       q.stride, q.name);
  }
}

void compare(const LayerProblem& p, const Results& got, const LayerProblem& one, const Results& expected) {
  const std::size_t first = p.rows().first * p.config.model.width;
  expect_same_bits(got.y.data(), expected.y.data() + first, got.y.size(), "y");
  expect_same_bits(got.dx.data(), expected.dx.data() + first, got.dx.size(), "dx");
  compare_gradients(p, got, one, expected);
  EXPECT_EQ(p.layer.statistics().assigned, one.layer.statistics().assigned);
  EXPECT_EQ(p.layer.statistics().kept, one.layer.statistics().kept);
}

std::int64_t total(const std::vector<std::int64_t>& v) { return std::accumulate(v.begin(), v.end(), std::int64_t{0}); }

void check_conservation(const LayerProblem& p) {
  const LayerStatistics& s = p.layer.statistics();
  EXPECT_EQ(total(s.assigned), p.config.step_tokens() * p.config.moe.top_k);
  const RoutingSample sample = sample_of(*p.pass);
  std::int64_t counts[2] = {total(s.traffic), std::accumulate(sample.kept.begin(), sample.kept.end(), std::int64_t{0})};
  EXPECT_EQ(counts[0], counts[1]);
  MPI_Allreduce(MPI_IN_PLACE, counts, 2, MPI_INT64_T, MPI_SUM, p.groups.world.handle());
  EXPECT_EQ(counts[0], total(s.kept));
  for (std::size_t e = 0; e < s.kept.size(); ++e) EXPECT_LE(s.kept[e], s.assigned[e]);
  if (p.config.moe.capacity_factor == 0.0) {
    EXPECT_EQ(s.kept, s.assigned);
  }
}

/// FNV-1a over the bits, to compare runs with different numbers of threads.
std::uint64_t digest(std::uint64_t hash, const std::vector<float>& v) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(v.data());
  for (std::size_t i = 0; i < v.size() * sizeof(float); ++i) hash = (hash ^ bytes[i]) * 0x100000001b3ull;
  return hash;
}

void check_layout(const LayerCase& c, int ep, const LayerProblem& one, const Results& expected) {
  SCOPED_TRACE(std::string(c.name) + ", EP " + std::to_string(ep) + ", " + std::to_string(c.ranks_per_node) +
               " a node, teams of " + std::to_string(c.team));
  LayerProblem p(MPI_COMM_WORLD, c, ep);
  const bool by_nodes = c.exchange == ExchangeKind::node && c.ranks_per_node < ep;
  EXPECT_EQ(p.groups.by_nodes.has_value(), by_nodes || (c.exchange == ExchangeKind::gather && ep > 1));
  for (int pass = 0; pass < 2; ++pass) {  // the second on memory that has been used
    p.forward();
    p.backward();
    compare(p, Results(p), one, expected);
  }
  check_conservation(p);
}

TEST(Layer, GivesTheSameBitsOnEveryLayout) {
  std::uint64_t hash = 0xcbf29ce484222325ull;
  for (const LayerCase& c : cases()) {
    LayerProblem one(MPI_COMM_SELF, c, 1);
    one.forward();
    one.backward();
    const Results expected(one);
    for (const auto* v : {&expected.y, &expected.dx, &expected.gradients[0], &expected.gradients[1]})
      hash = digest(hash, *v);
    check_conservation(one);
    for (int ep : test::degrees())
      for (const LayerCase& of : on_nodes(c, ep)) check_layout(of, ep, one, expected);
  }
  if (test::world_rank() == 0) std::printf("digest of all cases: %016llx\n", static_cast<unsigned long long>(hash));
}

TEST(Layer, EvaluatesWithoutDropping) {
  for (const LayerCase& c : cases())
    for (int ep : test::degrees()) {
      LayerProblem p(MPI_COMM_WORLD, on_nodes(c, ep).front(), ep);
      p.tokens.pass = Pass::evaluate;
      p.forward();
      EXPECT_EQ(p.layer.statistics().kept, p.layer.statistics().assigned);
      EXPECT_EQ(total(p.layer.statistics().assigned), p.config.step_tokens() * c.top_k);
    }
}

/// Tests of one rank, which more would only repeat.
class OneRank : public ::testing::Test {
 protected:
  void SetUp() override {
    if (test::world_size() > 1) GTEST_SKIP() << "runs on one rank";
  }
};

TEST_F(OneRank, RefusesASampleOfTokensWithUnequalChoices) {
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

TEST_F(OneRank, FollowsTheReference) {
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

TEST_F(OneRank, GradientIsTheSlope) {
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

TEST_F(OneRank, NamesTheExpertOfTheFirstNonFiniteOutput) {
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
