// The stage of one layer around its router (routers/) and balancers (balancers/): drops what is over the capacity,
// counts, keeps the selection bias. Every formula stands in docs/conventions.md.
#pragma once
#include <memory>
#include <vector>

#include "moe/balancers/balancer.hpp"
#include "moe/batch_load.hpp"
#include "moe/layer.hpp"
#include "moe/routers/router.hpp"
#include "moe/tally.hpp"

namespace switchyard::moe {

class RouterStage {
 public:
  /// Of the router that the configuration names, and its parameters.
  RouterStage(const LayerContext& context, int block);

  /// Routes x(N, d), which is kept (not copied) until backward. The choice is valid until the next forward. Tokens are
  /// the whole grains of this rank. Local.
  const Choice& forward(const TokenSet& tokens, const Matrix<float>& x);
  /// Adds the statistics of the last forward pass to a sum over the global batch, and takes them from it once it is
  /// finished. Once after each forward whose statistics or gradient are wanted.
  void offer_statistics(comm::JointSum& sum);
  void take_statistics(const comm::JointSum& sum);
  /// dx(N, d) is replaced by the gradient of x through weights and losses, given dweight(N, k) of the combine weights
  /// (ignored where dropped). Replaces the gradients of the parameters. Local; after take_statistics of a training
  /// pass.
  void backward(const Matrix<float>& dweight, const Matrix<float>& dx);
  /// Moves the selection bias by the counts of the last reduced training pass; nothing from moe.bias_until on.
  void update_bias(std::int64_t step);

  /// Of the last reduced pass, `traffic` left empty.
  const LayerStatistics& statistics() const { return statistics_; }
  int experts() const { return router_->shape().experts; }
  const std::vector<float>& bias() const { return bias_; }  ///< (E)
  void set_bias(const std::vector<float>& bias);

 private:
  void resize(const TokenSet& tokens);
  void drop();

  LayerContext context_;
  int block_;
  std::unique_ptr<Router> router_;
  Balancers balancers_;
  std::vector<float> bias_;    ///< (E)
  Vector<float> device_bias_;  ///< (E)
  RouterPass routed_;          ///< x is the caller's
  Tally tally_;
  BatchLoad batch_;
  Pass pass_ = Pass::train;
  bool reduced_ = false;
  LayerStatistics statistics_;
  std::vector<std::int64_t> training_counts_;  ///< (E) pre-drop, of the last reduced training pass
};

}  // namespace switchyard::moe
