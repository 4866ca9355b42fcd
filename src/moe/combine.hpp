// Expert outputs home to their tokens: each token adds the rows of its choices, weighted, to the residual stream.
#pragma once
#include "moe/transfer.hpp"

namespace switchyard::moe {

/// What a combine keeps from its forward to its backward pass.
struct CombinePass {
  CombinePass(Arena& arena, const Config& config, const Layout& layout, Element branch);
  /// Expert outputs where the gradients of combine weights are made of them: (send_rows, d) where rows were handed to
  /// experts from, or (choice rows of a crossing, d); nothing where they have not travelled.
  Buffer home;
};

class Combine {
 public:
  explicit Combine(const Transfer& transfer) : transfer_(transfer) {}
  /// Sends rows(expert_rows, d), in expert order, home; they must stay until finish. Collective over the
  /// expert-parallel group, as all are.
  void start(const Queue& queue, const Trip& trip, const Tensor& rows, CombinePass& pass) const;
  /// The rows given to start, and what they are added to.
  struct Result {
    const Tensor &rows, &y;
  };
  /// y(N, d) += Σ over choices, in order, of weight(C) · row.
  void finish(const Queue& queue, const Trip& trip, const Vector<float>& weight, const Result& result,
              const CombinePass& pass) const;
  /// The combine weights (C), and their gradients, +0 where dropped.
  struct Weights {
    const Vector<float>&value, &gradient;
  };
  /// The gradients of the weights from dy(N, d); and sends those of the rows given to start back to the experts, where
  /// they take the place of these.
  void start_backward(const Queue& queue, const Trip& trip, const Tensor& dy, const Weights& weights,
                      const Tensor& rows, const CombinePass& pass) const;
  /// d_rows(expert_rows, d) in expert order.
  void finish_backward(const Queue& queue, const Trip& trip, const Tensor& d_rows) const {
    transfer_.arrive_at_experts(queue, trip, d_rows, Journey::combine_backward);
  }

 private:
  const Transfer& transfer_;
};

}  // namespace switchyard::moe
