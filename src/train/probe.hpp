// The promise of `determinism: layout` is checked before it is made: rows of a product must not depend on how many
// other rows stand beside them.
#pragma once
#include "config/config.hpp"
#include "tensor/products/products.hpp"

namespace switchyard::train {

/// The products that are probed.
struct ProbedProducts {
  using Product = void (*)(const Queue&, const products::Segments&, const Tensor&, const products::Weights&,
                           const Tensor&, products::Write);
  Product forward = products::forward;
  Product input_gradient = products::input_gradient;
};

/// Computes each distinct product shape of the model with M = 1, 7 and one grain's rows (at most 512) and compares row
/// by row, forward and input gradient. Weight gradients and attention do not depend on M by their definition: they sum
/// over the rows of one grain or one sequence. Throws Error{layout_variant} naming the shape that differs.
void probe_products(const Config& config, const ProbedProducts& probed = {});

}  // namespace switchyard::train
