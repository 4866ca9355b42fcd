// The decoder-only transformer: embedding, blocks, head; forward and backward by hand (design part 4).
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "data/batch.hpp"
#include "model/loss.hpp"
#include "moe/layer.hpp"
#include "moe/transfer.hpp"
#include "schedule/task.hpp"

namespace switchyard::model {

/// A place in the model, in the order of computation.
struct Place {
  int block = 0;    ///< −1 for the embedding, `blocks` for the head
  int expert = -1;  ///< global id; −1 for all else in the block
};

class Transformer {
 public:
  /// Of the parameters of architecture(context.config), allocated before the first pass.
  explicit Transformer(const moe::LayerContext& context);
  ~Transformer();
  /// The tokens of the next pass: what the device reads is there once the queue is through, or in two parts, the first
  /// the host's.
  void begin(const Queue& queue, const data::Batch& batch, moe::Pass pass);
  void take(const data::Batch& batch, moe::Pass pass);
  void send(const Queue& queue) const;
  /// The kind of the last tokens; nothing before the first ones.
  std::optional<moe::Pass> last_pass() const;
  /// All tasks of a training pass were asked for, by something that had kept what they ask for (a graph).
  void went_back();
  /// Which rows have which token, for the gradient of the embedding, which sees to it itself if nobody has.
  void index_tokens(const Queue& queue);
  /// Asks for what reduce reads of the device, which does so itself if nobody has; nothing is waited for.
  void ask_statistics(const Queue& queue);
  /// Between forward and backward of a training pass whose statistics are asked for and reduced after backward: where
  /// no loss is made of them.
  void statistics_later();
  /// One task of that pass from `embedding` to `head`, forward or backward, in the order of a schedule: forward keeps
  /// what backward needs, but for what recompute makes again before it, backward fills the gradients of all parameters
  /// (nodes of ParameterSet). Collective as its stage is.
  void run(const Queue& queue, const schedule::Task& task);
  /// Lets rows that are on their way make progress, of all lanes; whether some are not there yet.
  bool poll();
  /// The journeys of a lane's rows since begin(), in the order of its tasks that send some; none where nothing travels.
  const std::vector<moe::Travel>& travels(int lane) const;
  /// Reduces losses and routing statistics over the global batch, between forward and backward: two collectives.
  LossParts reduce(const Queue& queue);
  /// begin and all tasks of a forward pass, for evaluation.
  void forward(const Queue& queue, const data::Batch& batch, moe::Pass pass);

  std::vector<moe::Layer*> moe_layers();  ///< in block order
  /// What the arena of a pass holds at most; 0 before the first one. Rows by load are rooms of their own, beside it.
  std::int64_t placed_bytes() const;
  /// What each of them chose for this rank's tokens in the last forward pass, host copies.
  std::vector<moe::RoutingSample> samples() const;
  /// Where this rank's part of the last forward pass first has a value that is not finite; nothing if nowhere. Before
  /// backward.
  std::optional<Place> first_non_finite(const Queue& queue) const;
  /// Host copies of the last forward pass, this rank's tokens.
  std::vector<float> token_losses() const;                         ///< (N)
  std::vector<std::int32_t> predictions() const;                   ///< (N) most probable next token
  std::vector<float> logits(const Queue& queue, Index row) const;  ///< (V) of one local token of the last pass

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace switchyard::model
