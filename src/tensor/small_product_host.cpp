// Small matrix products: plain chains.
#include "tensor/small_product_host.hpp"

#include <cmath>

namespace switchyard::blas {
namespace {

/// A(i, s) at a[i * ai + s * as], B(s, j) at b[s * bs + j * bj].
struct Strides {
  Index ai, as, bs, bj;
};

void product(Size size, const float* a, const float* b, Strides s, Block c, Write write) {
  for (Index i = 0; i < size.m; ++i)
    for (Index j = 0; j < size.n; ++j) {
      float sum = 0.0f;
      for (Index k = 0; k < size.k; ++k) sum = std::fma(a[i * s.ai + k * s.as], b[k * s.bs + j * s.bj], sum);
      float& out = c.data[i * c.stride + j];
      out = write == Write::add ? out + sum : sum;
    }
}

}  // namespace

void product_nn(Size size, ConstBlock a, ConstBlock b, Block c, Write write) {
  product(size, a.data, b.data, {a.stride, 1, b.stride, 1}, c, write);
}

void product_nt(Size size, ConstBlock a, ConstBlock b, Block c, Write write) {
  product(size, a.data, b.data, {a.stride, 1, 1, b.stride}, c, write);
}

void product_tn(Size size, ConstBlock a, ConstBlock b, Block c, Write write) {
  product(size, a.data, b.data, {1, a.stride, b.stride, 1}, c, write);
}

}  // namespace switchyard::blas
