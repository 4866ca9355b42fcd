// How far the tasks of a sweep are, read from their folders.
#pragma once
#include <string>
#include <vector>

#include "base/check.hpp"
#include "sweep/sweep.hpp"

namespace switchyard::sweep {

/// stopped: has begun, nobody works on it, and it ended without an error of its own (signal, time limit, kill).
enum class State { waiting, running, stopped, failed, finished };
const char* state_name(State state);

struct TaskState {
  State state = State::waiting;
  std::int64_t step = 0, steps = 0;  ///< of the newest checkpoint, and of the whole training
  std::string reason;                ///< of a failure: exit code and message; of a running task: host and process
};

/// Throws Error{usage, corrupt} where the sweep's own files cannot be read.
TaskState look_at(const std::string& folder, const Sweep& sweep, const Task& task);
/// Whether the newest checkpoint is the last.
bool is_finished(const std::string& folder, const Sweep& sweep, const Task& task);

/// FOLDER/tasks/NAME.failed: what the last attempt said. Kept until the next one begins.
void note_failure(const std::string& folder, const Task& task, Exit code, const std::string& message);
void forget_failure(const std::string& folder, const Task& task);

/// The table that `sweep status` prints: whole lines for people.
std::string table(const std::string& folder, const Sweep& sweep);

}  // namespace switchyard::sweep
