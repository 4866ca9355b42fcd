// Small matrix products for use inside a parallel region: one thread, row-major blocks with row strides.
#pragma once
#include "tensor/products/products.hpp"

namespace switchyard::products {

/// C is (m, n), the summed index runs over k.
struct Size {
  Index m, n, k;
};

/// A row-major block inside a larger matrix: element (i, j) at data[i * stride + j].
struct ConstBlock {
  const float* data;
  Index stride;
};
struct Block {
  float* data;
  Index stride;
};

/// Rows of A that are worked together, so that they stay in a second-level cache: whole register tiles.
Index row_block(Index depth);

/// C(m, n) (=|+=) A(m, k) · B(k, n). As in products.hpp each element is one fma chain over k ascending from +0, so the
/// size of the block changes no bit; `add` adds the finished chain to C. Host memory; C must not overlap A or B.
void product_nn(Size size, ConstBlock a, ConstBlock b, Block c, Write write = Write::replace);

/// C(m, n) (=|+=) A(m, k) · B(n, k)ᵀ.
void product_nt(Size size, ConstBlock a, ConstBlock b, Block c, Write write = Write::replace);

}  // namespace switchyard::products
