#include "moe/routers/projection.hpp"

#include <string>
#include <vector>

namespace switchyard::moe {

Projection::Projection(const RouterContext& context, const char* name)
    : parameters_(context.parameters),
      parameter_(parameters_.id("blocks." + std::to_string(context.block) + ".moe." + name + ".weight")),
      experts_(context.config.block_experts(context.block)),
      width_(context.config.model.width) {}

void Projection::forward(const RouterPass& pass, const Matrix<float>& product) const {
  const Index whole[2] = {0, static_cast<Index>(pass.x.extent(0))};
  blas::forward({1, whole}, experts_, width_, pass.x.data(), parameters_.value(parameter_), product.data());
}

void Projection::backward(const RouterPass& pass, const Matrix<float>& gradient, const Matrix<float>& dx,
                          blas::Write write) const {
  const Index n = pass.x.extent(0), whole[2] = {0, n};
  std::vector<Index> grains;
  for (Index first = 0; first <= n; first += pass.grain_tokens) grains.push_back(first);
  blas::input_gradient({1, whole}, experts_, width_, gradient.data(), parameters_.value(parameter_), dx.data(), write);
  blas::weight_gradient(
      {1, static_cast<int>(grains.size()) - 1, grains.data(), &parameters_.nodes(Placement::replicated)}, experts_,
      width_, gradient.data(), pass.x.data(), parameters_.gradient(parameter_),
      parameters_.gradient_stride(parameter_));
}

}  // namespace switchyard::moe
