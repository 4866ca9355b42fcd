// An attention: what a token reads of the ones before it in its sequence, and the gradients back. Each is a class in a
// file of its own beside this one. It holds parameters only: the memory of a pass is the lane's, so that several passes
// may be under way.
#pragma once
#include <memory>

#include "nn/linear.hpp"
#include "nn/rows.hpp"
#include "tensor/arena.hpp"
#include "tensor/parameter.hpp"
#include "tensor/queue.hpp"

namespace switchyard::model {

/// What an attention is made from; outlives it.
struct AttentionContext {
  const Config& config;
  const ParameterSet& parameters;  ///< blocks.B.attention.(those of attention_tensors).weight
  int block;
};

/// What the attention of a block keeps from the forward to the backward pass of a lane.
class AttentionPass {
 public:
  virtual ~AttentionPass() = default;
};

/// What the blocks of a lane use one after another, and tables that all of them read, which the constructor takes.
class AttentionScratch {
 public:
  virtual ~AttentionScratch() = default;
  /// Takes the pass of one block; `lane_rows` must live.
  virtual std::unique_ptr<AttentionPass> make_pass(Arena& arena, const nn::Rows& lane_rows,
                                                   const Config& config) const = 0;
  /// Working memory for `threads` host threads: apart from the rest, since the head may use the same.
  virtual void take_working(Arena& arena, const nn::Rows& lane_rows, const Config& config, int threads) = 0;
};

/// Scratch and passes are those that its own kind made.
class Attention {
 public:
  virtual ~Attention() = default;
  /// y(N, d) += attention(x(N, d)). x is kept (not copied) until backward.
  virtual void forward(const Queue& queue, const AttentionScratch& scratch, const Tensor& x, const Tensor& y,
                       AttentionPass& pass) const = 0;
  /// dx(N, d) from the gradient dy(N, d) of y's increment; fills the gradients of the parameters beside the queue.
  virtual void backward(const Queue& queue, const AttentionScratch& scratch, const nn::StreamGradient& dy,
                        const Tensor& dx, const AttentionPass& pass) const = 0;
};

/// The product of tokens by an attention's parameters blocks.B.attention.<name>.weight, which lie one after another.
nn::Linear linear_of(const AttentionContext& context, const std::vector<const char*>& names);

/// The attention that the configuration names.
std::unique_ptr<Attention> make_attention(const AttentionContext& context);
/// Its memory, which is also measured where there are no parameters.
std::unique_ptr<AttentionScratch> make_attention_scratch(Arena& arena, const Config& config);

/// How an attention and its memory are made.
struct AttentionMakers {
  std::unique_ptr<Attention> (*attention)(const AttentionContext& context);
  std::unique_ptr<AttentionScratch> (*scratch)(Arena& arena, const Config& config);
};
template <class OneAttention, class Scratch>
AttentionMakers makers() {
  return {[](const AttentionContext& context) -> std::unique_ptr<Attention> {
            return std::make_unique<OneAttention>(context);
          },
          [](Arena& arena, const Config& config) -> std::unique_ptr<AttentionScratch> {
            return std::make_unique<Scratch>(arena, config);
          }};
}

// What the two above choose from.
AttentionMakers grouped_attention();

}  // namespace switchyard::model
