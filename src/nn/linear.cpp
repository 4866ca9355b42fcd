// A weight matrix without bias, on the products of tensor/products/products.hpp.
#include "nn/linear.hpp"

#include "base/check.hpp"

namespace switchyard::nn {

Linear::Linear(const ParameterSet& parameters, const std::string& name)
    : Linear(parameters, std::vector<std::string>{name}) {}

Linear::Linear(const ParameterSet& parameters, const std::vector<std::string>& names) : parameters_(&parameters) {
  for (const std::string& name : names) {
    const Parameter& p = parameters[parameters.id(name)];
    if (!ids_.empty()) {
      const Parameter& before = parameters[ids_.back()];
      expect(p.offset == before.offset + before.unit && p.placement == before.placement && p.shape[1] == in_,
             "weights one after another in their slab");
    }
    ids_.push_back(p.id);
    out_ += p.shape[0], in_ = p.shape[1];
  }
}

Tensor Linear::weight() const {
  Tensor w = parameters_->weight(ids_.front());
  w.rows = out_;
  return w;
}

void Linear::forward(const Queue& queue, const Tensor& x, const Tensor& y, products::Write write) const {
  if (x.rows == 0) return;
  products::forward(queue, products::dense(x.rows), x, {weight()}, y, write);
}

void Linear::input_gradient(const Queue& queue, const Tensor& dy, const Tensor& dx, products::Write write) const {
  if (dy.rows == 0) return;
  products::input_gradient(queue, products::dense(dy.rows), dy, {weight()}, dx, write);
}

void Linear::weight_gradient(const Queue& queue, const Rows& rows, const Tensor& dy, const Tensor& x) const {
  if (rows.count == 0) return;
  products::weight_gradient(queue, {rows.network().pieces, 1, rows.piece_count(), &rows.nodes}, dy, x,
                            {gradient(rows.sums.slot), parameters_->gradient_stride(ids_.front()), 0});
  take_steps(queue, rows);
}

void Linear::grain_gradient(const Queue& queue, const Tensor& dy, const Tensor& x, float* dw) const {
  static const std::vector<TreeNode> leaf{{0, 1}};
  products::weight_gradient(queue, {products::dense(dy.rows), 1, 1, &leaf}, dy, x, {dw, 0, 0});
}

float* Linear::gradient(int slot) const {
  return parameters_->gradient(ids_.front()) + slot * parameters_->gradient_stride(ids_.front());
}

void Linear::take_steps(const Queue& queue, const Rows& rows) const {
  for (const int id : ids_) parameters_->take_steps(queue, id, rows.sums.steps);
}

}  // namespace switchyard::nn
