// Parts of tensors of any element as the floats that the tiles of the host work on.
#pragma once
#include "tensor/products/pack_host.hpp"
#include "tensor/products/small_product_host.hpp"
#include "tensor/tensor.hpp"

namespace switchyard::products {

/// The elements of `t`: where they lie if they are floats, else converted into `scratch`.
ConstBlock floats_of(const Tensor& t, simd::Scratch& scratch);

/// The same, converted into memory of t.rows·t.width floats.
ConstBlock floats_of(const Tensor& t, float* memory);

/// Rounds sums(t.rows, t.width) to the elements of `t`, or adds them to those first.
void store_rounded(const float* sums, const Tensor& t, Write write);

}  // namespace switchyard::products
