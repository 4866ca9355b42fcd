// Batches of random tokens, for benchmarks: a pure function of (seed, step, sequence, position), as real batches are.
#pragma once
#include "config/config.hpp"
#include "config/layout.hpp"
#include "data/batch.hpp"

namespace switchyard::train {

data::Batch synthetic_batch(const Config& config, const Layout& layout, std::int64_t step);

}  // namespace switchyard::train
