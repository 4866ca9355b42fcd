// The machine description that layout.machine names.
#pragma once
#include <optional>

#include "comm/communicator.hpp"
#include "config/yaml.hpp"
#include "plan/machine_description.hpp"
#include "train/forecast.hpp"

namespace switchyard {

/// Nothing where layout.machine of a valid configuration is empty. Throws Error{usage} with all complaints.
std::optional<plan::MachineDescription> read_machine(const LoadResult& loaded);

/// What `plan` predicts with it, whose path in `loaded` becomes absolute; null where there is none. Rank 0 reads for
/// all: collective, one AgreedError with all complaints.
train::Predict predict_on_all(const comm::Communicator& world, LoadResult& loaded);

}  // namespace switchyard
