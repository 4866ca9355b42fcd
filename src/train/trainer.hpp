// A run from its start (or last checkpoint) to its end: step, record, evaluate, checkpoint, stop.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "config/yaml.hpp"
#include "record/parent.hpp"
#include "train/forecast.hpp"

namespace switchyard::train {

struct TrainRequest {
  Config config;                              ///< valid for this number of ranks
  Origins origins;                            ///< of its values, for config.yaml
  std::string run;                            ///< the run folder
  bool resume = false;                        ///< continue what stands there; else the folder must not hold a run
  std::vector<std::string> command_line;      ///< for the provenance
  std::vector<std::string> notes;             ///< for the log and the provenance: what differs from what was asked for
  Predict predict = {};                       ///< of layout.machine; null without one
  std::optional<record::Parent> parent = {};  ///< the run's, also where it is resumed
};

/// Collective over MPI_COMM_WORLD, between MPI and Kokkos initialisation and finalization. Exit::ok when train.steps
/// are done, Exit::again when it stopped early after a checkpoint (signal or train.max_time). Throws AgreedError where
/// all ranks know of the error, Error where only this one does.
Exit run_training(const TrainRequest& request);

}  // namespace switchyard::train
