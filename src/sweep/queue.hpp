// The local queue of a sweep: its tasks as processes of this machine, a few at a time; and the one command of a batch
// system.
#pragma once
#include <string>
#include <vector>

#include "base/check.hpp"
#include "sweep/sweep.hpp"

namespace switchyard::sweep {

struct Queue {
  std::string folder;
  std::string program;              ///< this program's file
  std::vector<std::string> launch;  ///< put before it: {"mpirun", "-n", "2"}; empty for one rank
  int jobs = 1;                     ///< tasks at a time
};

/// Runs every task that is not finished as `program sweep run FOLDER --task N`, its output in FOLDER/tasks/NAME.log,
/// and says on stdout how each ends; a task that fails does not stop the others. A signal (stop_signals, held to the
/// end of the process) stops the running ones after a checkpoint and starts no more. Returns the code of the
/// first failure, else Exit::again where some stopped early, else Exit::ok.
Exit run_queue(const Sweep& sweep, const Queue& queue);

/// Runs a command to its end; its stdout without the last line feed. Throws Error{usage} where it is not there or
/// fails; `advice` says what to do then.
std::string output_of(const std::vector<std::string>& command, const std::string& advice);

}  // namespace switchyard::sweep
