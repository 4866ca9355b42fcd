// ranks: 1 2 3 4 5 8
// The whole layer: the same bits on every layout as on one rank, and conservation laws.
#include "moe/layer.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <numeric>

#include "layer_cases.hpp"

namespace switchyard::moe::testing {
namespace {

/// The same in teams of every size that fits `places` ranks of a node.
std::vector<LayerCase> in_teams(LayerCase c, int places) {
  std::vector<LayerCase> all;
  for (c.team = 1; c.team <= c.hidden_chunks; c.team *= 2)
    if (places % c.team == 0) all.push_back(c);
  return all;
}

/// The same on nodes of one rank, of as many as there can be while there are two, on one node, and on one that several
/// groups share, with teams of every size that fits them.
std::vector<LayerCase> on_nodes(const LayerCase& c, int expert_parallel) {
  if (c.exchange != ExchangeKind::node && c.exchange != ExchangeKind::gather) return in_teams(c, expert_parallel);
  std::vector<LayerCase> all;
  for (const int nodes : {expert_parallel, 2, 1})
    if (expert_parallel % nodes == 0 && (all.empty() || all.back().ranks_per_node < expert_parallel / nodes)) {
      LayerCase of = c;
      of.ranks_per_node = expert_parallel / nodes;
      const std::vector<LayerCase> teams = in_teams(of, of.ranks_per_node);
      all.insert(all.end(), teams.begin(), teams.end());
    }
  if (expert_parallel > 1 && test::world_size() > expert_parallel) {
    all.push_back(c);
    all.back().ranks_per_node = test::world_size();
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
               " a node, teams of " + std::to_string(c.team) + (c.local_first ? ", local first" : ""));
  LayerProblem p(MPI_COMM_WORLD, c, ep);
  EXPECT_TRUE(c.local_first || p.pass->plan.here().rows.size() == 0);
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
      for (LayerCase of : on_nodes(c, ep))
        for (const bool local_first : {false, true}) {
          of.local_first = local_first;
          check_layout(of, ep, one, expected);
        }
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

}  // namespace
}  // namespace switchyard::moe::testing
