// How a run goes on: the newest sound checkpoint, what must fit it, and record files that cannot be read.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "config/config.hpp"
#include "data/corpus.hpp"
#include "record/parent.hpp"
#include "train/machine.hpp"

namespace switchyard::train {

/// What a checkpoint must belong to.
struct RunParts {
  const std::string& folder;
  const Config& config;  ///< of the run
  const data::Corpus& corpus;
};

/// A checkpoint whose tensors are in the machine's parameters.
struct Loaded {
  std::string folder;  ///< "" where the run has none
  checkpoint::TrainState state;
  std::vector<std::string> notes;  ///< newer ones that are damaged
};

/// Loads the newest checkpoint of the run that is sound, with its biases. Collective. Throws AgreedError: corrupt where
/// none of them is, usage where it is of another configuration or corpus, and what load_checkpoint throws beside that.
Loaded load_newest(const RunParts& run, Machine& machine);

struct Restored {
  checkpoint::TrainState state;
  std::int64_t saved_step = -1;    ///< of the checkpoint; −1 where there is none
  std::vector<std::string> lines;  ///< for the log: what the run begins or goes on with
  std::vector<std::string> notes;  ///< warnings: a damaged checkpoint, record files that were set aside
};

/// What a run has started from; nothing for one from scratch.
using Ancestry = std::optional<record::Parent>;

/// A run at its start: what begin_from gives, or step 0 with the machine's initial parameters. Collective.
Restored start(const RunParts& run, const Ancestry& parent, Machine& machine);

/// Fills the machine's parameters and biases from the newest checkpoint of the run that is sound; one that was stopped
/// before its first one starts over. Then sets record files aside that do not open. Collective. Throws AgreedError:
/// usage where the rows or the checkpoint are of another configuration or corpus, corrupt where no checkpoint is sound;
/// nothing is touched before.
Restored restore(const RunParts& run, const Ancestry& parent, Machine& machine);

}  // namespace switchyard::train
