// One mixture-of-experts layer: route, plan, dispatch, experts, combine — and the same backwards on one plan.
#pragma once
#include <memory>

#include "base/timers.hpp"
#include "comm/exchange.hpp"
#include "comm/groups.hpp"
#include "comm/joint_sum.hpp"
#include "config/config.hpp"
#include "moe/statistics.hpp"
#include "nn/rows.hpp"
#include "schedule/task.hpp"
#include "tensor/parameter.hpp"
#include "tensor/queue.hpp"
#include "tensor/tensor.hpp"

namespace switchyard::moe {

/// Whether a pass trains (noise, capacity, statistics for the balancer) or evaluates (dropless, no noise).
enum class Pass { train, evaluate };

/// The tokens of one forward pass, as a layer needs to know them. N = sequences * context local tokens.
struct TokenSet {
  Pass pass = Pass::train;
  std::int64_t step = 0;
  int context = 0;           ///< T
  Range sequences;           ///< of the global batch
  int grain_sequences = 1;   ///< sequences of one grain
  Vector<std::int32_t> ids;  ///< (N) token ids, device
  Index tokens() const { return sequences.size() * context; }
};

/// Everything a layer shares with the others of its rank.
struct LayerContext {
  const Config& config;
  const comm::Groups& groups;
  const comm::Exchanges& exchanges;
  const ParameterSet& parameters;
  Timers& timers;
};

struct LayerPass;

/// Holds parameters, and what a layer has from step to step: selection bias and statistics.
class Layer {
 public:
  /// Of the parameters blocks.B.moe.{router,router_noise,experts.{gate,up,down},shared.{gate,up,down}}.
  Layer(const LayerContext& context, int block);
  ~Layer();
  /// The tokens of the next pass; x(N, d) is kept (not copied) until backward.
  void begin(const TokenSet& tokens, const Tensor& x, LayerPass& pass) const;
  /// Those of schedule::mixture_stages that schedule::in_mixture tells, in that order; together y(N, d) += mixture(x).
  /// All ranks of the expert-parallel group do the same; what comes is waited for in the finishing stages and in
  /// experts_here.
  void forward(const Queue& queue, schedule::Stage stage, const Tensor& y, LayerPass& pass) const;
  /// Before backward, of what schedule::recompute_stages lists of the layer: what the forward stage made and was not
  /// kept, to the bit, on the plan and the choices of the forward pass. Local.
  void recompute(const Queue& queue, schedule::Stage stage, LayerPass& pass) const;
  /// After it the experts' outputs, which may not have been kept either.
  void recompute_outputs(const Queue& queue, LayerPass& pass) const;
  /// Counts and probability masses of the global batch, between forward and backward: adds those of this rank's lanes,
  /// all of them in order, to a sum, and takes the whole from it.
  void offer_statistics(const Queue& queue, const std::vector<LayerPass*>& lanes, comm::JointSum& sum) const;
  void take_statistics(const comm::JointSum& sum, const std::vector<LayerPass*>& lanes);
  /// Asks for what offer_statistics reads of the device, which does so itself if nobody has.
  void ask_statistics(const Queue& queue, const std::vector<LayerPass*>& lanes) const;
  /// Where these are only taken after backward, since no loss is made of them.
  void statistics_later(const std::vector<LayerPass*>& lanes) const;
  /// The same backwards, once a forward, but for `expert_weights`, which is once for all lanes; together dx(N, d) =
  /// gradient with respect to x, given that of y's increment. Replaces gradients of its parameters.
  void backward(const Queue& queue, schedule::Stage stage, const nn::StreamGradient& dy, const Tensor& dx,
                LayerPass& pass) const;
  /// Loss-free bias update from the counts of the last training step.
  void update_bias(const Queue& queue, std::int64_t step);

  const LayerStatistics& statistics() const;  ///< reduced
  int experts() const;
  std::vector<float> bias() const;  ///< (E) balancer state, part of a checkpoint
  void set_bias(const Queue& queue, const std::vector<float>& bias);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace switchyard::moe
