// What a run takes on the disk, by arithmetic: before compression, so that it takes no more. No MPI, no Kokkos.
#pragma once
#include <string>

#include "base/checked.hpp"
#include "config/config.hpp"

namespace switchyard::record {

/// Bytes of what grows with a run, of all ranks together. L recorded layers, E experts of the largest, k choices.
struct DiskBytes {
  Checked row;         ///< of one step in run.h5: scalars, 28·L·E, margins, traffic of all rank pairs
  Checked sample;      ///< of one sampled step in all token files: T·(24 + 7·L·k), T tokens of a step
  Checked evaluation;  ///< of one evaluation in run.h5 and evaluation.h5: S·(8 + 7·L·k), S at most 65536 tokens
  Checked timeline;    ///< of one step whose tasks are timed, in run.h5: 8 + R·(16 + 24·tasks), R ranks
  Checked checkpoint;  ///< of one checkpoint: values and both moments, 12 bytes a parameter
  std::int64_t rows = 0, samples = 0, evaluations = 0, timelines = 0, checkpoints = 0;  ///< at the end of the run

  Checked total() const {
    return row * rows + sample * samples + timeline * timelines + evaluation * evaluations + checkpoint * checkpoints;
  }
};

/// `ranks` must fit the configuration; needs model.vocabulary > 0.
DiskBytes disk_bytes(const Config& config, int ranks);

/// The lines of `switchyard check` about it.
std::string describe_disk(const Config& config, int ranks);

}  // namespace switchyard::record
