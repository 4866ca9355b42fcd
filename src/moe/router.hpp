// The router of one layer: tokens to scores, experts and combine weights; what keeps the loads even; and the gradients.
// Every formula stands in docs/conventions.md.
#pragma once
#include <vector>

#include "moe/batch_load.hpp"
#include "moe/layer.hpp"
#include "moe/scores.hpp"
#include "moe/selection.hpp"
#include "moe/tally.hpp"

namespace switchyard::moe {

class RouterStage {
 public:
  /// Of blocks.B.moe.router.weight (E, d), and blocks.B.moe.router_noise.weight (E, d) for noisy_topk.
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
  int experts() const { return shape_.experts; }
  const std::vector<float>& bias() const { return bias_; }  ///< (E)
  void set_bias(const std::vector<float>& bias);

 private:
  void resize(const TokenSet& tokens);
  void choose(const TokenSet& tokens);
  void drop();
  void product_backward(int parameter, const Matrix<float>& gradient, const Matrix<float>& dx, bool add);

  LayerContext context_;
  int block_;
  RouterShape shape_;
  int weight_ = -1, noise_ = -1;  ///< parameter ids
  std::vector<float> bias_;       ///< (E)
  Vector<float> device_bias_;     ///< (E)
  Matrix<float> x_;               ///< (N, d) the caller's
  Scores scores_;
  Choice choice_;
  Tally tally_;
  BatchLoad batch_;
  Index grain_tokens_ = 0;
  Pass pass_ = Pass::train;
  bool reduced_ = false;
  LayerStatistics statistics_;
  std::vector<std::int64_t> training_counts_;  ///< (E) pre-drop, of the last reduced training pass
};

}  // namespace switchyard::moe
