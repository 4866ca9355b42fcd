// The sums of a gradient norm: norm_host.cpp or norm_cuda.cpp.
#pragma once
#include "train/norm.hpp"

namespace switchyard::train {

/// sums(blocks) = Σ x² of each block of unit_block elements.
void sum_blocks(const Queue& queue, const float* gradient, Index blocks, double* sums);

/// The sum of the blocks of a unit, or of all units: on a host one chain, on a device 32 of them (i in chain i mod 32),
/// added in pairs at distance 16, 8, 4, 2, 1.
double ordered_sum(const std::vector<double>& sums);

}  // namespace switchyard::train
