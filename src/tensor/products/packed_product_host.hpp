// Products whose right operand is packed once and used many times, on one thread: what attention is made of.
#pragma once
#include "tensor/products/small_product_host.hpp"

namespace switchyard::products {

/// A(i, s) at data[i·row + s·step].
struct Rows {
  const float* data;
  Index row, step;
};

/// A matrix in panels of panel_width columns, each `depth` rows one after another; columns past the last are +0.
struct Panels {
  float* data;
  Index depth;
};

/// Floats of a matrix (depth, n) in panels.
Index panel_floats(Index depth, Index n);

/// B(depth, n) to panels, as it stands or from its transpose, stored (n, depth).
void pack(Index n, ConstBlock b, Panels panels);
void pack_transposed(Index n, ConstBlock b, Panels panels);

/// Rows [0, depth) of panels to rows of C.
void unpack(Index n, Panels panels, Block c);

/// C(m, n) = A·B with the first k rows of the panels of B: each element one fma chain over k ascending from +0. Unless
/// `exact`, whole panels are written: what stands past column n of C is lost.
void packed_product(Size size, Rows a, Panels b, Block c, bool exact);

/// Goes on with the chains of the first m rows of `sums`: sum = fma(A, B, sum) over k ascending.
void packed_chain(Size size, Rows a, Panels b, Panels sums);

}  // namespace switchyard::products
