// A run that starts from a checkpoint of another: which one, and whether it fits.
#pragma once
#include <optional>
#include <string>

#include "checkpoint/checkpoint.hpp"
#include "comm/communicator.hpp"
#include "config/config.hpp"
#include "data/corpus.hpp"
#include "record/parent.hpp"
#include "train/machine.hpp"

namespace switchyard::train {

/// What a run starts from, as the command line names it.
struct Ancestor {
  record::Parent::Kind kind = record::Parent::Kind::branch;
  std::string what;  ///< RUN or RUN@STEP; "": nothing
};

/// The checkpoint that is meant, the newest one where no step is given; the same on every rank, before anything of the
/// run `run` is made. Collective. Throws AgreedError: usage where there is none, where it is of the run itself, or
/// where its options do not fit; corrupt where its state.json is damaged.
std::optional<record::Parent> choose_parent(const comm::Communicator& world, const Ancestor& ancestor,
                                            const Config& config, const std::string& run);

/// Fills the machine's parameters, and for a branch the moments and biases, from the parent's checkpoint, and gives the
/// state in which the run begins. Collective. Throws AgreedError: usage where the checkpoint is gone or of another
/// vocabulary, corrupt where it is damaged or not the one it was.
struct Begun {
  checkpoint::TrainState state;
  std::vector<std::string> notes;  ///< what of the parent was left behind
};
Begun begin_from(const record::Parent& parent, const Config& config, const data::Corpus& corpus, Machine& machine);

}  // namespace switchyard::train
