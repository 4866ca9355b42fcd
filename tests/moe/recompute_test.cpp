// ranks: 1 2 3 4 5
// What a layer does not keep is overwritten between forward and backward, and no bit changes.
#include <gtest/gtest.h>

#include <cstring>

#include "layer_problem.hpp"
#include "support/kinds.hpp"
#include "support/queue.hpp"

namespace switchyard::moe::testing {
namespace {

std::vector<LayerCase> cases() {
  constexpr Activation gelu = Activation::gelu, swiglu = Activation::swiglu;
  constexpr RouterKind softmax = RouterKind::softmax, sigmoid = RouterKind::sigmoid;
  constexpr ExchangeKind by_node = ExchangeKind::node, gather = ExchangeKind::gather;
  std::vector<LayerCase> all{{"gated experts", 8, 2, 8, swiglu, sigmoid, 0, 0.0, 0.02},
                             {"shared experts, capacity", 3, 2, 5, gelu, softmax, 2, 0.7, 0.01},
                             {"one grain", 8, 1, 1, swiglu, softmax, 1},
                             {"tokens alike", 8, 2, 8, gelu, softmax, 0, 0.0, 0.01, true},
                             {"by nodes", 8, 3, 8, swiglu, softmax, 1, 0.0, 0.01, false, 20, by_node},
                             {"sums by nodes, capacity", 13, 4, 5, gelu, sigmoid, 0, 0.8, 0.0, false, 16, by_node, 8},
                             {"gathered", 8, 3, 8, swiglu, sigmoid, 0, 0.0, 0.01, false, 20, gather},
                             {"gathered, sums home", 7, 2, 6, gelu, softmax, 1, 0.0, 0.0, false, 20, gather, 8}};
  for (const RouterKind router : test::all_of<RouterKind>())
    all.push_back({test::name_of(router).c_str(), 5, 2, 3, gelu, router});
  return all;
}

/// A case on nodes of every size that they can have.
std::vector<LayerCase> on_nodes(const LayerCase& c, int expert_parallel) {
  std::vector<LayerCase> all(1, c);
  if (c.exchange != ExchangeKind::node && c.exchange != ExchangeKind::gather) return all;
  all.clear();
  for (const int ranks_per_node : test::degrees(expert_parallel)) {
    all.push_back(c);
    all.back().ranks_per_node = ranks_per_node;
  }
  return all;
}

void spoil(const Matrix<float>& values) {
  if (values.data()) Kokkos::deep_copy(values, NAN);
}
void spoil(const Tensor& values) {
  if (values && values.rows > 0) spoil(values.floats());
}
void spoil(const nn::FeedForwardRows& network) {
  for (const Tensor* t : {&network.gate, &network.up, &network.hidden}) spoil(*t);
}

/// What another layer would have overwritten.
void spoil_what_is_not_kept(LayerProblem& p) {
  const ExpertRows::Part part = p.pass->part();
  if (p.config.layout.recompute == Recompute::none) return;
  spoil(part.network);
  if (p.config.layout.recompute != Recompute::blocks) return;
  if (p.not_kept->rows) spoil(part.rows);
  if (p.not_kept->outputs) spoil(part.outputs);
  if (p.pass->shared) spoil(p.pass->shared->rows(0, p.pass->x.rows));
  const Scores& s = p.pass->routing.routed.scores;
  for (const Matrix<float>* m : {&s.logits, &s.score, &s.slope}) spoil(*m);
  for (const Vector<float>* v : {&s.inverse, &s.lse, &s.entropy})
    if (v->data()) Kokkos::deep_copy(*v, NAN);
}

/// y, dx and all gradients of a training pass.
std::vector<float> trained(const LayerCase& c, int expert_parallel) {
  LayerProblem p(MPI_COMM_WORLD, c, expert_parallel);
  const bool by_nodes = c.exchange == ExchangeKind::node && c.ranks_per_node < expert_parallel;
  EXPECT_EQ(p.groups.layout.by_nodes(), by_nodes || (c.exchange == ExchangeKind::gather && expert_parallel > 1));
  std::vector<float> all;
  for (int pass = 0; pass < 2; ++pass) {
    p.forward();
    const RoutingSample before = sample_of(*p.pass);
    spoil_what_is_not_kept(p);
    p.backward();
    const RoutingSample after = sample_of(*p.pass);
    EXPECT_EQ(before.experts, after.experts);
    EXPECT_EQ(before.kept, after.kept);
    for (const auto& part : {host_values(p.y), host_values(p.dx), p.gradient_sum(Placement::replicated),
                             p.gradient_sum(Placement::expert)})
      all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

TEST(LayerRecompute, ChangesNoBit) {
  for (const LayerCase& of : cases())
    for (const int ep : test::degrees())
      for (LayerCase c : on_nodes(of, ep)) {
        c.recompute = Recompute::none, c.local_first = false;
        const std::vector<float> kept = trained(c, ep);
        for (int way = 0; way < 4; ++way) {
          c.recompute = way % 2 ? Recompute::blocks : Recompute::experts, c.local_first = way / 2 > 0;
          SCOPED_TRACE(std::string(c.name) + ", EP " + std::to_string(ep) + ", " + std::to_string(c.ranks_per_node) +
                       " a node, " + test::name_of(c.recompute) + (c.local_first ? ", local first" : ""));
          const std::vector<float> again = trained(c, ep);
          ASSERT_EQ(again.size(), kept.size());
          EXPECT_EQ(std::memcmp(again.data(), kept.data(), kept.size() * sizeof(float)), 0);
        }
      }
}

// The memory of a layer is that of the scratch where it is not kept, and its own where it is.
TEST(LayerRecompute, SharesWhatIsNotKept) {
  for (const Recompute recompute : test::all_of<Recompute>())
    for (const int ep : test::degrees()) {
      LayerCase c = cases().front();
      c.recompute = recompute;
      LayerProblem p(MPI_COMM_WORLD, c, ep);
      EXPECT_EQ(static_cast<bool>(p.not_kept->network), recompute != Recompute::none);
      EXPECT_EQ(static_cast<bool>(p.not_kept->rows), recompute == Recompute::blocks && ep == 1);
      EXPECT_EQ(static_cast<bool>(p.not_kept->outputs), recompute == Recompute::blocks && ep > 1);
      EXPECT_EQ(p.scratch->scores.size(), recompute == Recompute::blocks ? 1u : 0u);
    }
}

}  // namespace
}  // namespace switchyard::moe::testing
