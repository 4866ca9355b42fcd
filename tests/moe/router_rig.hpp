// One router with everything it shares with others, on some ranks, and the tokens of a small global batch.
#pragma once
#include <cmath>
#include <cstring>
#include <memory>

#include "comm/exchange.hpp"
#include "moe/router.hpp"
#include "support/parameters.hpp"

namespace switchyard::test {

/// In (−1, 1), a fixed function of (i, salt).
inline float noise(std::uint64_t i, std::uint64_t salt) {
  std::uint64_t z = i * 0x9E3779B97F4A7C15ull + salt * 0xD1B54A32D192ED03ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return static_cast<float>((z ^ (z >> 31)) >> 40) / 8388608.0f - 1.0f;
}

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
  c.train.batch = 8;
  c.train.grains = 4;
  return c;
}

struct Rig {
  Rig(const Config& c, MPI_Comm comm)
      : config(c),
        groups(comm::Communicator::duplicate(comm), 1, c.train.grains),
        exchange(comm::make_exchange(ExchangeKind::pairwise, groups.expert)),
        parameters(groups.layout, tensors_of(config, "blocks.1.moe.router")),
        router(moe::LayerContext{config, groups, *exchange, parameters, timers}, 1),
        pass("test::pass", config, nn::make_rows(config, groups.layout), config.moe.experts) {
    parameters.allocate(7);
  }
  Rig(const Rig&) = delete;

  Range sequences() const {
    const Range grains = groups.layout.my_grains();
    return {grains.first * config.grain_sequences(), grains.last * config.grain_sequences()};
  }
  Index first() const { return sequences().first * config.model.context; }

  moe::TokenSet tokens(moe::Pass pass, std::int64_t step = 3) const {
    moe::TokenSet t{pass, step, config.model.context, sequences(), config.grain_sequences(), {}};
    t.ids = make_view<Vector<std::int32_t>>("ids", t.tokens());
    const auto ids = Kokkos::create_mirror_view(t.ids);
    for (Index i = 0; i < t.tokens(); ++i)
      ids(i) = static_cast<std::int32_t>((first() + i) * 7 % config.model.vocabulary);
    Kokkos::deep_copy(t.ids, ids);
    return t;
  }

  /// (N, columns) of this rank's tokens.
  Matrix<float> values(Index columns, std::uint64_t salt) const {
    const auto m = make_view<Matrix<float>>("values", sequences().size() * config.model.context, columns);
    const auto h = Kokkos::create_mirror_view(m);
    for (Index i = 0; i < static_cast<Index>(h.size()); ++i) h.data()[i] = noise(first() * columns + i, salt);
    Kokkos::deep_copy(m, h);
    return m;
  }

  /// (C) of this rank's choices, gradients of their combine weights.
  Vector<float> weight_gradient() const {
    const auto v = make_view<Vector<float>>("weight gradient", pass->choice().capacity());
    Kokkos::deep_copy(v, Vector<float>(values(config.moe.top_k, 2).data(), v.extent(0)));
    return v;
  }

  const moe::Choice& forward(moe::Pass kind = moe::Pass::train, std::int64_t step = 3) {
    x = values(config.model.width, 1);
    router.forward(tokens(kind, step), x, *pass);
    return pass->choice();
  }

  void reduce() {
    comm::JointSum sum(groups);
    router.offer_statistics(*pass, sum);
    sum.reduce();
    router.take_statistics(sum, *pass);
  }

  /// dx of the last training pass; gradients of the parameters lie in `parameters`.
  Matrix<float> backward() {
    const auto dx = make_view<Matrix<float>>("dx", x.extent(0), x.extent(1));
    router.backward(weight_gradient(), dx, *pass);
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

  Config config;
  comm::Groups groups;
  std::unique_ptr<comm::Exchange> exchange;
  ParameterSet parameters;
  Timers timers;
  moe::RouterStage router;
  Placed<moe::RoutingPass> pass;
  Matrix<float> x;
};

}  // namespace switchyard::test
