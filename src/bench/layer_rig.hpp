// One mixture of experts by itself, on one rank, whose loads are those that were asked for.
#pragma once
#include <array>
#include <functional>

#include "base/timers.hpp"
#include "bench/layer.hpp"
#include "moe/layer_pass.hpp"
#include "schedule/task.hpp"

namespace switchyard::bench {

/// Who is told of every stage once it has been asked for.
using SeeStage = std::function<void(const Queue& queue, schedule::Stage stage, schedule::Direction direction)>;

class LayerRig {
 public:
  /// Of layer_config(options). Inputs are such that the router itself chooses what forced_choices says: a token's input
  /// is large where its experts are, and the router reads expert e off number e.
  LayerRig(const LayerOptions& options, const Config& config, comm::Communicator world);
  LayerRig(const LayerRig&) = delete;

  const Queue& queue() const { return queue_; }
  std::uint64_t digest() const { return digest_; }  ///< of the choices
  const std::vector<std::int64_t>& loads() const { return loads_; }

  /// Forward and backward, one of three inputs in turn. Throws Error{internal} where loads are not as asked for.
  void pass(const SeeStage& see = {});
  /// The products of a pass alone, on its rows; after a pass.
  void run_products();

 private:
  void take_inputs(const std::vector<std::int32_t>& choices);
  void require_loads() const;
  void take_statistics();
  void forward_products(const moe::ExpertRows::Part& part) const;
  void input_gradients(const moe::ExpertRows::Part& part);
  void weight_gradients(const moe::ExpertRows::Part& part) const;
  products::Weights weights(int id) const { return {parameters_.weight(id), parameters_[id].stride}; }

  Config config_;
  std::vector<std::int64_t> loads_;
  std::uint64_t digest_ = 0;
  Queue queue_;
  comm::Groups groups_;
  comm::Exchanges exchanges_;
  nn::Rows rows_;
  ParameterSet parameters_;
  Timers timers_;
  moe::Layer layer_;
  Placed<moe::LayerScratch> scratch_;
  Placed<moe::ExpertScratch> shared_;
  Placed<moe::ExpertRows> experts_;
  Placed<moe::LayerPass> pass_;
  moe::TokenSet tokens_;
  Arena arena_;
  std::array<Tensor, 3> x_;  ///< (N, d) of the branch's element
  Tensor y_, dy_, dx_;       ///< (N, d) floats
  Tensor rounded_;           ///< (N, d) dy as products read it
  int gate_, up_, down_;     ///< parameter ids; gate −1 where there is none
  int number_ = 0;           ///< of passes
};

}  // namespace switchyard::bench
