// The life of MPI and Kokkos in this process, and the ranks' agreement on how it ends.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/check.hpp"

namespace switchyard {

/// Whether a launcher (mpirun, srun) started this process as one of several. Only tells whether MPI is worth
/// initialising; ranks come from MPI.
bool launched_in_parallel();

/// MPI from construction to destruction.
class Session {
 public:
  Session(int& argc, char**& argv);
  Session(const Session&) = delete;
  ~Session();
  int rank() const { return rank_; }
  int size() const { return size_; }

 private:
  int rank_ = 0;
  int size_ = 1;
};

/// Kokkos with `threads` host threads and, on a GPU build, the device of this rank's place on its node.
class KokkosSession {
 public:
  explicit KokkosSession(int threads);
  KokkosSession(const KokkosSession&) = delete;
  ~KokkosSession();
  /// What differs from what was asked for on some node, one sentence each: threads that the build or the machine does
  /// not have, devices that are shared. The same on every rank.
  const std::vector<std::string>& notes() const { return notes_; }

 private:
  std::vector<std::string> notes_;
};

// What a command printed must have arrived on standard output: each of these turns Exit::ok into Exit::storage, with a
// sentence on standard error, where it did not, and keeps any other code.

/// Runs a command that all ranks run together, inside `session`. An AgreedError is printed by rank 0 and gives every
/// rank its code; any other exception is printed with its rank and ends all ranks through MPI_Abort.
Exit run_on_all_ranks(const Session& session, const std::function<Exit()>& command);

/// Runs a command of one process on rank 0; the others wait and return the same code.
Exit run_on_root(const Session& session, const std::function<Exit()>& command);

/// Runs a command without MPI: errors are printed and become exit codes.
Exit run_alone(const std::function<Exit()>& command);

}  // namespace switchyard
