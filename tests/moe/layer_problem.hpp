// One mixture-of-experts layer on made-up tokens: the same global problem on any layout, and what came of it.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <ostream>
#include <vector>

#include "comm/collectives.hpp"
#include "comm/exchange.hpp"
#include "comm/groups.hpp"
#include "moe/layer_pass.hpp"
#include "schedule/generators.hpp"
#include "support/parameters.hpp"

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
  return config;
}

inline float value(std::uint32_t stream, std::int64_t row, int c) {
  std::uint32_t v = stream * 7919u + static_cast<std::uint32_t>(row) * 131u + static_cast<std::uint32_t>(c);
  v = (v ^ (v >> 16)) * 0x7feb352du;
  v = (v ^ (v >> 15)) * 0x846ca68bu;
  return static_cast<float>((v ^ (v >> 16)) % 20011) / 10000.0f - 1.0f;
}

/// (rows, columns) of a stream, by global row.
inline Matrix<float> filled(std::uint32_t stream, const Range& rows, int columns, bool same = false) {
  const HostMatrix<float> host("host", rows.size(), columns);
  for (std::int64_t r = rows.first; r < rows.last; ++r)
    for (int c = 0; c < columns; ++c) host(r - rows.first, c) = value(stream, same ? 0 : r, c);
  return Kokkos::create_mirror_view_and_copy(Device::memory_space{}, host);
}

struct LayerProblem {
  LayerProblem(comm::Communicator world, const LayerCase& c, int expert_parallel)
      : config(config_of(c)),
        groups(std::move(world), expert_parallel, c.grains),
        exchange(comm::make_exchange(c.exchange, groups.expert)),
        parameters(groups.layout, test::tensors_of(config, "blocks.0.moe.")),
        layer({config, groups, *exchange, parameters, timers}, 0),
        scratch("test::scratch", config, groups.layout),
        pass("test::pass", config, groups.layout, 0, *scratch) {
    parameters.allocate(11);
    const Range grains = groups.layout.my_grains();
    tokens.step = 3;
    tokens.context = config.model.context;
    tokens.grain_sequences = config.grain_sequences();
    tokens.sequences = {grains.first * tokens.grain_sequences, grains.last * tokens.grain_sequences};
    rows = {tokens.sequences.first * tokens.context, tokens.sequences.last * tokens.context};
    const HostVector<std::int32_t> ids("ids", rows.size());
    for (std::int64_t r = rows.first; r < rows.last; ++r) ids(r - rows.first) = c.same_tokens ? 9 : r * 37 % 64;
    tokens.ids = Kokkos::create_mirror_view_and_copy(Device::memory_space{}, ids);
    x = filled(1, rows, c.width, c.same_tokens);
    dy = filled(2, rows, c.width);
    dx = filled(4, rows, c.width);  // must be replaced
  }

  void forward() {
    y = filled(3, rows, config.model.width);  // the residual stream
    layer.begin(tokens, x, *pass);
    for_stages(schedule::Direction::forward, [this](schedule::Stage stage) { layer.forward(stage, y, *pass); });
    comm::JointSum sum(groups);
    layer.offer_statistics(*pass, sum);
    sum.reduce();
    layer.take_statistics(sum, *pass);
  }
  void backward() {
    for (const Placement placement : {Placement::replicated, Placement::expert})  // all of the layer must be replaced
      test::fill_gradients(parameters, placement, NAN);
    for_stages(schedule::Direction::backward, [this](schedule::Stage stage) { layer.backward(stage, dy, dx, *pass); });
  }

  template <class F>
  void for_stages(schedule::Direction direction, const F& run) const {
    for (const schedule::Stage stage : schedule::mixture_stages(direction))
      if (stage != schedule::Stage::shared || config.moe.shared_experts > 0) run(stage);
  }

  /// Gradients of a placement's slab summed over all grains.
  std::vector<float> gradients(Placement placement) {
    const bool replicated = placement == Placement::replicated;
    const Layout& layout = groups.layout;
    std::vector<std::vector<TreeNode>> nodes;
    for (int i = 0; i < (replicated ? layout.ranks : layout.groups()); ++i) {
      const Range grains = replicated ? layout.grains_of(i) : layout.group_grains(i);
      nodes.push_back(tree_nodes(static_cast<int>(grains.first), static_cast<int>(grains.last)));
    }
    std::vector<float> sum(parameters.slab_size(placement));
    const std::vector<float> mine = host_values(parameters.gradients(placement));
    if (!sum.empty())
      comm::tree_all_reduce(replicated ? groups.world : groups.expert_data, nodes,
                            {mine.data(), parameters.slab_size(placement), parameters.slab_size(placement), sum.data()},
                            timers);
    return sum;
  }

  Config config;
  comm::Groups groups;
  std::unique_ptr<comm::Exchange> exchange;
  ParameterSet parameters;
  Timers timers;
  Layer layer;
  Placed<LayerScratch> scratch;
  Placed<LayerPass> pass;
  TokenSet tokens;
  Range rows;  ///< tokens of the global batch
  Matrix<float> x, y, dy, dx;
};

}  // namespace switchyard::moe::testing
