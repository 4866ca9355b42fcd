// The head: logits of the next token, softmax cross-entropy and the optional z-loss.
#pragma once
#include <cstdint>
#include <vector>

#include "moe/layer.hpp"
#include "nn/linear.hpp"
#include "tensor/room.hpp"

namespace switchyard::model {

/// What one pass over the rows of logits reads and leaves. Losses of a row: cross-entropy log_sum − logit(target), and
/// log_sum² for the z-loss (Zoph et al. 2022).
struct HeadRows {
  Tensor logits;  ///< (rows at work, V) of the branch; training passes leave the gradient of the objective in its place
  Vector<std::int32_t> targets;    ///< (N)
  Vector<float> loss, log_sum;     ///< (N)
  Vector<std::int32_t> predicted;  ///< (N) most probable token, the smallest of equals
  Vector<float> memory;            ///< head_memory(rows at work, V, threads), overwritten
  float token_weight = 0.0f;       ///< 1 / tokens of the global batch
  float z_weight = 0.0f;           ///< coefficient / tokens of the global batch
};

/// Floats of working memory that a pass over rows(n, V) on `threads` host threads needs.
Index head_memory(Index n, Index vocabulary, int threads);
/// One pass over every row: head_host.cpp or head_cuda.cpp.
void head_losses(const Queue& queue, const HeadRows& rows, moe::Pass pass);

/// What the head leaves of a forward pass, and what it works in.
struct HeadPass {
  HeadPass(Arena& arena, const nn::Rows& rows);
  /// Memory that other stages may use as well.
  void take_scratch(Arena& arena, const nn::Rows& rows, const Config& config, int threads);
  HeadRows rows;  ///< of all N rows but the logits, which are those of the last rows at work
  Staged<std::int32_t> targets;
  Twin<Vector<double>> sums;  ///< (local grains, 2) of grain_losses
  Vector<float> subtrees;  ///< (levels, V, d): sums that wait for their right neighbour, or to be added to their left
  Lent lent;               ///< the logits, and with them take_scratch
};

/// sums(g, ·) = Σ loss and Σ log_sum² of the rows of each local grain: chains in token order on a host, on a device in
/// another order that is fixed by the number of rows of a grain.
void sum_losses(const Queue& queue, const nn::Rows& rows, const HeadPass& pass);

/// Where the gradient of a grain is summed: subtrees of the node in `slot` that wait, and how many it then completes.
struct GrainPlace {
  int slot, height, merges;
};

/// A host works grain by grain, so that a grain's logits are still in cache when they are used; a device on as many
/// grains at once as memory allows. N·V logits exist only where they are few. Holds parameters only.
class Head {
 public:
  /// Of head.weight (V, d), or of the embedding's where they are tied.
  Head(const ParameterSet& parameters, const Config& config);
  struct Branch {
    Tensor x, dx;  ///< (N, d)
  };
  /// Losses of branch.x against the targets. A training pass also fills branch.dx of the objective and the gradient of
  /// the weight.
  void forward(const Queue& queue, const nn::Rows& rows, const Branch& branch, moe::Pass kind, HeadPass& pass) const;
  /// Logits (V) of row `row` of x(N, d), computed again.
  std::vector<float> logits(const Queue& queue, const Tensor& x, Index row) const;

 private:
  HeadRows part(const HeadPass& pass, Index first, Index count) const;
  /// One pass over grains [first, last), with the gradient of the weight unless that is made of all at once.
  void work(const Queue& queue, const nn::Rows& rows, const Branch& branch, moe::Pass kind, const Range& grains,
            HeadPass& pass) const;
  /// Adds a grain to its node's gradient, along the tree.
  void add_gradient(const Queue& queue, const HeadPass& pass, const GrainPlace& place, const Tensor& dy,
                    const Tensor& x) const;
  nn::Linear weight_;
  float token_weight_, z_weight_;
};

/// Asks for the sums of cross-entropy and log_sum² of each local grain, (grains, 2),
void ask_losses(const Queue& queue, const nn::Rows& rows, const HeadPass& pass);
/// which are there once the queue is through.
std::vector<double> grain_losses(const HeadPass& pass);

}  // namespace switchyard::model
