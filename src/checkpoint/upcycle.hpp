// A mixture of experts out of a checkpoint of a dense model (Komatsuzaki et al. 2022, "Sparse upcycling").
#pragma once
#include <string>

#include "checkpoint/checkpoint.hpp"

namespace switchyard::checkpoint {

/// Fills values: tensors of the same name with theirs, every expert with the feed-forward of its block, which in the
/// checkpoint is a dense one or a mixture of one expert. Routers keep what they have, and so do moments. Every rank
/// reads what it holds. Collective over world; every rank throws the same: Error{corrupt} naming the file that does not
/// match its manifest, Error{usage} where a tensor has no source of its size.
TrainState load_upcycled(const std::string& folder, const comm::Groups& groups, ParameterSet& parameters);

}  // namespace switchyard::checkpoint
