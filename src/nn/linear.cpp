// A weight matrix without bias, on the products of tensor/products/products.hpp.
#include "nn/linear.hpp"

namespace switchyard::nn {

Linear::Linear(const ParameterSet& parameters, const std::string& name)
    : parameters_(&parameters),
      id_(parameters.id(name)),
      out_(parameters[id_].shape[0]),
      in_(parameters[id_].shape[1]) {}

void Linear::forward(const Queue& queue, const Tensor& x, const Tensor& y, products::Write write) const {
  if (x.rows == 0) return;
  products::forward(queue, products::dense(x.rows), x, {parameters_->weight(id_)}, y, write);
}

void Linear::input_gradient(const Queue& queue, const Tensor& dy, const Tensor& dx, products::Write write) const {
  if (dy.rows == 0) return;
  products::input_gradient(queue, products::dense(dy.rows), dy, {parameters_->weight(id_)}, dx, write);
}

void Linear::weight_gradient(const Queue& queue, const Rows& rows, const Tensor& dy, const Tensor& x) const {
  if (rows.count == 0) return;
  products::weight_gradient(queue, {rows.network().pieces, 1, rows.piece_count(), &rows.nodes}, dy, x,
                            {gradient(rows.sums.slot), parameters_->gradient_stride(id_), 0});
  take_steps(queue, rows);
}

void Linear::grain_gradient(const Queue& queue, const Tensor& dy, const Tensor& x, float* dw) const {
  static const std::vector<TreeNode> leaf{{0, 1}};
  products::weight_gradient(queue, {products::dense(dy.rows), 1, 1, &leaf}, dy, x, {dw, 0, 0});
}

float* Linear::gradient(int slot) const {
  return parameters_->gradient(id_) + slot * parameters_->gradient_stride(id_);
}

void Linear::take_steps(const Queue& queue, const Rows& rows) const {
  parameters_->take_steps(queue, id_, rows.sums.steps);
}

}  // namespace switchyard::nn
