// The product of tokens by a parameter of a router, and its gradients.
#pragma once
#include "moe/routers/router.hpp"
#include "tensor/blas.hpp"

namespace switchyard::moe {

class Projection {
 public:
  /// By blocks.B.moe.<name>.weight (E, d).
  Projection(const RouterContext& context, const char* name);
  /// product(N, E) = pass.x · weightᵀ in fp32.
  void forward(const RouterPass& pass, const Matrix<float>& product) const;
  /// Replaces the parameter's gradient by that of a product whose gradient (N, E) is given, a chain a grain, and writes
  /// or adds its share of dx(N, d).
  void backward(const RouterPass& pass, const Matrix<float>& gradient, const Matrix<float>& dx,
                blas::Write write) const;

 private:
  const ParameterSet& parameters_;
  int parameter_;
  Index experts_, width_;
};

}  // namespace switchyard::moe
