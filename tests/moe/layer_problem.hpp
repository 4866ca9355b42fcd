// One mixture-of-experts layer on made-up tokens: the same global problem on any layout, and what came of it.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <ostream>

#include "moe/layer_pass.hpp"
#include "schedule/generators.hpp"
#include "support/placement.hpp"
#include "support/ranks.hpp"
#include "support/values.hpp"

namespace switchyard::moe::testing {

struct LayerCase {
  const char* name;
  int experts;
  int top_k;
  int grains;
  Activation activation = Activation::gelu;
  RouterKind router = RouterKind::softmax;
  int shared = 0;
  double capacity = 0.0;
  double aux = 0.0;
  bool same_tokens = false;  ///< all tokens alike: all go to the same k experts
  int width = 20;
  ExchangeKind exchange = ExchangeKind::pairwise;
  int combine_groups = 1;
  int ranks_per_node = 0;
  Recompute recompute = Recompute::none;
  int hidden_chunks = 1;
  int team = 1;           ///< layout.expert_tensor_parallel
  unsigned placed = 0;    ///< seed of a placement; 0 for none
  int placed_within = 1;  ///< parts of the seats, in which experts stay
  bool local_first = false;
};

inline std::ostream& operator<<(std::ostream& out, const LayerCase& c) { return out << c.name; }

inline Config config_of(const LayerCase& c) {
  Config config;
  config.model.vocabulary = 64;
  config.model.width = c.width;
  config.model.blocks = 1;
  config.model.heads = 1;
  config.model.context = 6;
  config.model.activation = c.activation;
  config.model.init_std = 0.4;
  config.moe.experts = c.experts;
  config.moe.top_k = c.top_k;
  config.moe.hidden = 24;
  config.moe.shared_experts = c.shared;
  config.moe.router = c.router;
  config.moe.capacity_factor = c.capacity;
  config.moe.aux_loss = c.aux;
  config.train.grains = c.grains;
  config.train.batch = 2 * c.grains;
  config.layout.exchange = c.exchange;
  config.moe.combine_groups = c.combine_groups;
  config.layout.ranks_per_node = c.ranks_per_node;
  config.layout.recompute = c.recompute;
  config.moe.hidden_chunks = c.hidden_chunks;
  config.layout.expert_tensor_parallel = c.team;
  config.layout.local_first = c.local_first;
  if (c.placed > 0) test::place_at_random(config, c.placed, c.placed_within);
  return config;
}

/// With all that it takes.
struct WholeScratch : LayerScratch {
  WholeScratch(Arena& arena, const Config& config, const Layout& layout)
      : LayerScratch(arena, config, layout, Element::f32) {
    take_scores(arena, config, nn::make_rows(config, layout));
  }
};

struct LayerProblem : test::Ranks {
  LayerProblem(MPI_Comm ranks, const LayerCase& c, int expert_parallel)
      : Ranks(config_of(c), ranks, expert_parallel, test::tensors_of(config_of(c), "blocks.0.moe.")),
        layer(context(), 0),
        scratch("test::scratch", config, groups.layout),
        lane_rows(nn::make_rows(config, groups.layout)),
        not_kept("test::not_kept", config, groups.layout, Element::f32),
        experts("test::experts", config, groups.layout, 0, Element::f32, *not_kept),
        pass("test::pass", lane_rows, config, groups.layout, *experts, *scratch),
        tokens(token_set(Pass::train, 3, [&c](std::int64_t r) { return c.same_tokens ? 9 : r * 37 % 64; })),
        x(test::filled(1, rows(), c.width, c.same_tokens)),
        dy(test::filled(2, rows(), c.width)),
        dx(test::filled(4, rows(), c.width)) {}  // must be replaced

  void forward() {
    y = test::filled(3, rows(), config.model.width);  // the residual stream
    layer.begin(tokens, x, *pass);
    for_stages(schedule::Direction::forward,
               [this](schedule::Stage stage) { layer.forward(test::queue(), stage, y, *pass); });
    comm::JointSum sum(groups);
    layer.offer_statistics(test::queue(), {&*pass}, sum);
    sum.reduce();
    layer.take_statistics(sum, {&*pass});
  }
  void backward() {
    for (const Placement placement : {Placement::replicated, Placement::expert})  // all of the layer must be replaced
      test::fill_gradients(parameters, placement, NAN);
    for_stages(schedule::Direction::backward, [this](schedule::Stage stage) {
      layer.backward(test::queue(), stage, {dy, dy}, dx, *pass);
      if (stage == schedule::Stage::combine) recompute();  // while rows travel
    });
  }

  /// The stages of the layer; x is there.
  void recompute() {
    for (const schedule::Stage stage : schedule::recompute_stages(config, 0))
      if (stage != schedule::Stage::attention && stage != schedule::Stage::feed_forward)
        layer.recompute(test::queue(), stage, *pass);
  }

  template <class F>
  void for_stages(schedule::Direction direction, const F& run) const {
    for (const schedule::Stage stage : schedule::mixture_stages(direction))
      if (schedule::in_mixture(config, stage)) run(stage);
  }

  Layer layer;
  Placed<WholeScratch> scratch;
  nn::Rows lane_rows;
  Placed<ExpertScratch> not_kept;
  Placed<ExpertRows> experts;
  Placed<LayerPass> pass;
  TokenSet tokens;
  Matrix<float> x, y, dy, dx;
};

inline RoutingSample sample_of(const LayerPass& pass) {
  RoutingSample all;
  add_sample(pass, all);
  return all;
}

}  // namespace switchyard::moe::testing
