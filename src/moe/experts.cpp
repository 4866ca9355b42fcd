#include "moe/experts.hpp"

#include "base/check.hpp"

namespace switchyard::moe {

FeedForward::FeedForward(ParameterSet& parameters, const FeedForwardShape& shape)
    : parameters_(parameters), shape_(shape) {
  const Index d = shape.width, f = shape.hidden;
  if (activation::gated(shape.activation)) gate_ = declare("gate", f, d, shape.init_std);
  up_ = declare("up", f, d, shape.init_std);
  down_ = declare("down", d, f, shape.init_std_down);
}

int FeedForward::declare(const char* matrix, Index out, Index in, double init_std) const {
  Parameter p;
  p.name = shape_.prefix + "." + matrix + ".weight";
  p.placement = shape_.placement;
  p.shape = {out, in};
  if (shape_.placement == Placement::expert) p.shape.insert(p.shape.begin(), shape_.experts);
  p.init_std = init_std;
  return parameters_.add(p);
}

void FeedForward::forward(const FeedForwardRows& rows, const float* x, float* out, blas::Write write) {
  const blas::Groups groups{static_cast<int>(rows.offsets.size()) - 1, rows.offsets.data()};
  const Index n = rows.offsets.back(), d = shape_.width, f = shape_.hidden;
  if (n == 0) return;
  reserve(up_rows_, "moe::experts::up", n * f);
  reserve(hidden_rows_, "moe::experts::hidden", n * f);
  if (gate_ >= 0) {
    reserve(gate_rows_, "moe::experts::gate", n * f);
    blas::forward(groups, f, d, x, parameters_.value(gate_), gate_rows_.data());
  }
  blas::forward(groups, f, d, x, parameters_.value(up_), up_rows_.data());
  activation::forward(shape_.activation, n * f, gate_ < 0 ? nullptr : gate_rows_.data(), up_rows_.data(),
                      hidden_rows_.data());
  blas::forward(groups, d, f, hidden_rows_.data(), parameters_.value(down_), out, write);
}

void FeedForward::backward(const FeedForwardRows& rows, const float* x, const float* d_out, float* dx,
                           blas::Write write) {
  const blas::Groups groups{static_cast<int>(rows.offsets.size()) - 1, rows.offsets.data()};
  const Index n = rows.offsets.back(), d = shape_.width, f = shape_.hidden;
  weight_gradient(down_, rows, d_out, hidden_rows_.data());
  float* d_up = hidden_rows_.data();  // the hidden rows have been used for the last time
  float* d_gate = gate_rows_.data();  // null where not gated
  if (n > 0) {
    blas::input_gradient(groups, d, f, d_out, parameters_.value(down_), d_up);
    activation::backward(shape_.activation, n * f, d_gate, up_rows_.data(), d_up, d_gate, d_up);
  }
  weight_gradient(up_, rows, d_up, x);
  if (gate_ >= 0) weight_gradient(gate_, rows, d_gate, x);
  if (n == 0) return;
  blas::input_gradient(groups, f, d, d_up, parameters_.value(up_), dx, write);
  if (gate_ >= 0) blas::input_gradient(groups, f, d, d_gate, parameters_.value(gate_), dx, blas::Write::add);
}

void FeedForward::weight_gradient(int id, const FeedForwardRows& rows, const float* dy, const float* x) const {
  const int count = static_cast<int>(rows.offsets.size()) - 1;
  const std::vector<TreeNode>& nodes = parameters_.nodes(shape_.placement);
  if (count == 0 || nodes.empty()) return;
  const Parameter& p = parameters_[id];
  const std::size_t rank = p.shape.size();
  blas::weight_gradient({count, rows.pieces, rows.piece_offsets.data(), &nodes}, p.shape[rank - 2], p.shape[rank - 1],
                        dy, x, parameters_.gradient(id), parameters_.gradient_stride(id));
}

}  // namespace switchyard::moe
