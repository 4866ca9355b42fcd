// Checkpoints: a folder a step, written aside and renamed, cut by global index; any layout reads any other's.
//
//   checkpoints/step-00000100/
//     dense.h5                    replicated parameters: group NAME with value, first_moment, second_moment
//     experts-01-0032.h5          block 1, experts 32 … 63: the same, (experts of this file, …), attribute first_expert
//     state.json                  step, tokens, selection biases, the options that decide results, hash of the corpus
//     manifest.json               bytes and sha256 of every file; written last, so that its presence means completeness
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/manifest.hpp"
#include "comm/groups.hpp"
#include "config/config.hpp"

namespace switchyard {
class ParameterSet;
}

namespace switchyard::checkpoint {

/// What a checkpoint holds beside the parameter slabs.
struct TrainState {
  std::int64_t step = 0;                 ///< steps done
  std::int64_t tokens = 0;               ///< tokens trained on
  std::vector<std::vector<float>> bias;  ///< selection bias of each MoE layer
  std::string corpus_sha256;             ///< Corpus::manifest_sha256 of the run
  std::string options;                   ///< invariant_options of the run; set by load, ignored by save
  std::int64_t planned_steps = 0;        ///< train.steps when it was made; set by load, ignored by save
  std::string tokenizer{};               ///< Corpus::tokenizer of the run; "" where it is not known
  std::string parent{};                  ///< JSON of record::Parent; "" where the run has started from nothing
};

/// Writes RUN/checkpoints/step-00000123 (values, both moments, state, manifest with sizes and sha256), fsyncs, renames,
/// and removes all but the newest train.keep and those of train.keep_steps. Collective over world. Throws
/// Error{storage} with the previous ones intact.
void save_checkpoint(const std::string& run, const Config& config, const comm::Groups& groups,
                     const ParameterSet& parameters, const TrainState& state);
/// RUN/checkpoints/step-00000123
std::string folder_of(const std::string& run, std::int64_t step);
/// Step of a checkpoint's folder.
std::int64_t step_of_folder(const std::string& folder);
/// Folders of the complete checkpoints, newest first.
std::vector<std::string> list_checkpoints(const std::string& run);
/// What stands in RUN/checkpoints and is no checkpoint by its name; hidden names are left out.
std::vector<std::string> strangers_of(const std::string& run);
/// The folder of the newest checkpoint, complete or not; empty where there is none.
std::string newest_folder(const std::string& run);
/// Newest complete checkpoint's folder; empty where there is none.
std::string latest_checkpoint(const std::string& run);
/// Step of the newest checkpoint whose state.json is whole, which is where `resume` goes on from unless tensors are
/// damaged too; 0 where there is none. `damage` takes what is wrong with the newest one, unless it is null.
std::int64_t checkpoint_step(const std::string& run, std::string* damage = nullptr);
/// What its state.json says, which must be what the manifest has. Throws Error{corrupt}.
TrainState read_state(const std::string& folder);
/// What the manifest lists, of which all is as it says: each rank looks at a part. Collective; throws as
/// load_checkpoint does.
std::vector<ManifestEntry> check_files(const std::string& folder, const comm::Communicator& world);
/// Fills the slabs. Collective over world; every rank throws the same. Throws Error{corrupt} naming the file that does
/// not match its manifest, Error{usage} where the checkpoint is of another model.
TrainState load_checkpoint(const std::string& folder, const comm::Groups& groups, ParameterSet& parameters);

}  // namespace switchyard::checkpoint
