// The promise of `determinism: layout` is checked before it is made: rows of a product must not depend on how many
// other rows stand beside them.
#pragma once
#include "config/config.hpp"

namespace switchyard::train {

/// Computes each distinct product shape of the model with M = 1, 7 and one grain's rows (at most 512) and compares row
/// by row, forward and input gradient. Weight gradients and attention do not depend on M by their definition: they sum
/// over the rows of one grain or one sequence. Throws Error{layout_variant} naming the shape that differs.
void probe_products(const Config& config);

}  // namespace switchyard::train
