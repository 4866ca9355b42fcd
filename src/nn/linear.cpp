// A weight matrix without bias, on the products of tensor/blas.hpp.
#include "nn/linear.hpp"

namespace switchyard::nn {

Linear::Linear(const ParameterSet& parameters, const std::string& name)
    : parameters_(&parameters),
      id_(parameters.id(name)),
      out_(parameters[id_].shape[0]),
      in_(parameters[id_].shape[1]) {}

void Linear::forward(const Rows& rows, const Matrix<float>& x, const Matrix<float>& y, blas::Write write) const {
  if (rows.count == 0) return;
  const Index offsets[] = {0, rows.count};
  blas::forward({1, offsets}, out_, in_, x.data(), parameters_->value(id_), y.data(), write);
}

void Linear::input_gradient(const Rows& rows, const Matrix<float>& dy, const Matrix<float>& dx,
                            blas::Write write) const {
  if (rows.count == 0) return;
  const Index offsets[] = {0, rows.count};
  blas::input_gradient({1, offsets}, out_, in_, dy.data(), parameters_->value(id_), dx.data(), write);
}

void Linear::weight_gradient(const Rows& rows, const Matrix<float>& dy, const Matrix<float>& x) const {
  if (rows.count == 0) return;
  const blas::GrainGroups groups{1, rows.piece_count(), rows.pieces.data(), &rows.nodes};
  blas::weight_gradient(groups, out_, in_, dy.data(), x.data(), parameters_->gradient(id_),
                        parameters_->gradient_stride(id_));
}

void Linear::grain_gradient(const Matrix<float>& dy, const Matrix<float>& x, float* dw) const {
  static const std::vector<TreeNode> leaf{{0, 1}};
  const Index offsets[] = {0, static_cast<Index>(dy.extent(0))};
  blas::weight_gradient({1, 1, offsets, &leaf}, out_, in_, dy.data(), x.data(), dw, 0);
}

float* Linear::gradient(int node) const {
  return parameters_->gradient(id_) + node * parameters_->gradient_stride(id_);
}

}  // namespace switchyard::nn
