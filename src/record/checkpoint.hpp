// Checkpoints: a folder a step, written aside and renamed, cut by global index; any layout reads any other's.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "comm/groups.hpp"
#include "config/config.hpp"
#include "tensor/parameter.hpp"

namespace switchyard::record {

/// What a checkpoint holds beside the parameter slabs.
struct TrainState {
  std::int64_t step = 0;                 ///< steps done
  std::int64_t tokens = 0;               ///< tokens trained on
  std::vector<std::vector<float>> bias;  ///< selection bias of each MoE layer
};

/// Writes RUN/checkpoints/step-00000123 (values, both moments, state, manifest with sizes and sha256), fsyncs, renames,
/// and removes all but the newest train.keep. Collective over world. Throws Error{no_space} with the previous ones
/// intact.
void save_checkpoint(const std::string& run, const Config& config, const comm::Groups& groups,
                     const ParameterSet& parameters, const TrainState& state);
/// Newest complete checkpoint's folder; empty where there is none.
std::string latest_checkpoint(const std::string& run);
/// Fills the slabs. Collective. Throws Error{corrupt} naming the file that does not match its manifest.
TrainState load_checkpoint(const std::string& folder, const comm::Groups& groups, ParameterSet& parameters);

}  // namespace switchyard::record
