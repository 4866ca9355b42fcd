// One router with everything it shares with others, on some ranks, and the tokens of a small global batch.
#pragma once
#include "moe/router.hpp"
#include "support/ranks.hpp"
#include "support/values.hpp"

namespace switchyard::test {

/// A small batch: 8 sequences in 4 grains, 6 tokens each.
inline Config small_config(int experts, int top_k) {
  Config c;
  c.model.blocks = 2;
  c.model.width = 10;
  c.model.context = 6;
  c.model.init_std = 0.6;
  c.model.vocabulary = 50;
  c.moe.experts = experts;
  c.moe.top_k = top_k;
  c.train.seed = 7;
  c.train.batch = 8;
  c.train.grains = 4;
  return c;
}

struct Rig : Ranks {
  Rig(const Config& c, MPI_Comm ranks)
      : Ranks(c, ranks, 1, tensors_of(c, "blocks.1.moe.router")),
        router(context(), 1),
        lane_rows(nn::make_rows(config, groups.layout)),
        pass("test::pass", config, lane_rows, config.moe.experts) {}

  moe::TokenSet tokens(moe::Pass kind, std::int64_t step = 3) const {
    return token_set(kind, step, [this](std::int64_t r) { return r * 7 % config.model.vocabulary; });
  }

  /// (C) of this rank's choices, gradients of their combine weights.
  Vector<float> weight_gradient() const {
    const auto v = make_view<Vector<float>>("weight gradient", pass->choice().capacity());
    const Matrix<float> values = filled(2, rows(), config.moe.top_k);
    Kokkos::deep_copy(v, Vector<float>(values.data(), v.extent(0)));
    return v;
  }

  const moe::Choice& forward(moe::Pass kind = moe::Pass::train, std::int64_t step = 3) {
    x = filled(1, rows(), config.model.width);
    router.forward(test::queue(), tokens(kind, step), x, *pass);
    return pass->choice();
  }

  void reduce() {
    comm::JointSum sum(groups);
    router.offer_statistics(test::queue(), {&*pass}, sum);
    sum.reduce();
    statistics = router.take_statistics(sum, {&*pass});
  }

  /// dx of the last training pass; gradients of the parameters lie in `parameters`.
  Matrix<float> backward() {
    const auto dx = make_view<Matrix<float>>("dx", x.extent(0), x.extent(1));
    router.backward(test::queue(), weight_gradient(), dx, *pass);
    return dx;
  }

  /// The gradient of a parameter, all nodes added in order; (E, d).
  std::vector<float> gradient(const std::string& name) const {
    const Parameter& p = parameters[parameters.find("blocks.1.moe." + name + ".weight")];
    return test::node_sum(parameters, p);
  }

  std::vector<float> value(const std::string& name) const {
    const Parameter& p = parameters[parameters.find("blocks.1.moe." + name + ".weight")];
    return test::read_units(parameters.values(p.placement).data(), p);
  }

  moe::RouterStage router;
  nn::Rows lane_rows;
  Placed<moe::RoutingPass> pass;
  moe::LayerStatistics statistics;  ///< of the last reduce()
  Matrix<float> x;
};

}  // namespace switchyard::test
