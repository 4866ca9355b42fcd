// Starting and continuing runs: what `train`, `resume` and the tasks of a sweep share. Everything here is collective
// over MPI_COMM_WORLD, before Kokkos is initialised.
#pragma once
#include <string>
#include <vector>

#include "app/session.hpp"
#include "base/check.hpp"
#include "comm/communicator.hpp"
#include "config/yaml.hpp"
#include "train/parent.hpp"

namespace switchyard {

/// Text of a file as rank 0 reads it, on every rank, so that all ranks see the same configuration or the same error.
std::string shared_text(const comm::Communicator& world, const std::string& file);
/// The valid configuration of a run on these ranks, or one AgreedError with all complaints.
LoadResult load_on_all(const std::string& file, const std::vector<std::string>& overrides);
/// The same from a text that every rank has; `name` stands in messages.
LoadResult load_text_on_all(const std::string& name, const std::string& text,
                            const std::vector<std::string>& overrides);
/// Reads what layout.placement of a valid configuration names: rank 0 for all of them.
void read_placement_on_all(const comm::Communicator& world, LoadResult& loaded);
/// What is allowed but seldom meant, in the configuration and on this machine. The same on every rank.
std::vector<std::string> notes_of(const Config& config, const KokkosSession& kokkos);
/// The configuration that a run keeps in its folder.
struct RunConfig {
  std::string file, text;
};
/// On every rank; an AgreedError where there is none, or where it has lost its end.
RunConfig config_of_run(const std::string& run);

/// Trains in the folder `run`, from scratch unless there is an ancestor. Errors and exit codes of train::run_training.
Exit start_run(const LoadResult& loaded, const std::string& run, const std::vector<std::string>& command_line,
               const train::Ancestor& ancestor = {});
/// Continues the run from its last checkpoint, on any layout.
Exit continue_run(const std::string& run, const std::vector<std::string>& overrides,
                  const std::vector<std::string>& command_line);

}  // namespace switchyard
