// Expert outputs home to their tokens: each token adds the rows of its choices, weighted, to the residual stream.
#pragma once
#include "moe/transfer.hpp"

namespace switchyard::moe {

/// What a combine keeps from its forward to its backward pass.
struct CombinePass {
  CombinePass(Arena& arena, const Config& config, const Layout& layout);
  Staged<float> home;           ///< (send_rows, d) expert outputs at home; nothing where an expert group is one rank
  const float* rows = nullptr;  ///< where they are: there, or where the experts wrote them
};

class Combine {
 public:
  Combine(const Transfer& transfer, int width) : transfer_(transfer), width_(width) {}
  /// Sends rows(expert_rows, d), in expert order, home; they must stay until finish. Collective over the expert group,
  /// as all are.
  void start(const Trip& trip, const Room<float>& rows, CombinePass& pass) const;
  /// y(N, d) += Σ over choices, in order, of weight(C) · row.
  void finish(const Trip& trip, const Vector<float>& weight, const Matrix<float>& y, CombinePass& pass) const;
  /// dweight(C), +0 where dropped, from dy(N, d); and sends the gradients of the rows back to the experts. d_rows,
  /// where they will be, may be the rows given to start.
  void start_backward(const Trip& trip, const Matrix<float>& dy, const Vector<float>& weight,
                      const Vector<float>& dweight, Room<float>& d_rows, const CombinePass& pass) const;
  /// d_rows(expert_rows, d) in expert order.
  void finish_backward(const Trip& trip, const Room<float>& d_rows) const { transfer_.arrive_at_experts(trip, d_rows); }

 private:
  const Transfer& transfer_;
  int width_;
};

}  // namespace switchyard::moe
