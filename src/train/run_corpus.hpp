// The corpus of a run: the one that its configuration names, and that its checkpoints were trained on.
#pragma once
#include <string>

#include "checkpoint/checkpoint.hpp"
#include "comm/communicator.hpp"
#include "config/config.hpp"
#include "data/corpus.hpp"

namespace switchyard::train {

/// Opens data.path and takes its vocabulary where model.vocabulary is 0. Throws Error{usage} where the model has fewer
/// tokens than the corpus, and what Corpus::open throws. `begun`: the model is there and stays as it is.
data::Corpus open_corpus_for(Config& config, bool begun = false);
/// The same on every rank; the path in the configuration becomes absolute. Collective.
data::Corpus open_corpus(const comm::Communicator& world, Config& config, bool begun);

/// Throws Error{usage} where the checkpoint of `run` was trained on another corpus: for all that reads or writes tokens
/// with a trained model.
void require_same_corpus(const checkpoint::TrainState& state, const data::Corpus& corpus, const std::string& run);

}  // namespace switchyard::train
