// How far the tasks of a sweep are, read from their folders.
#pragma once
#include <string>
#include <vector>

#include "base/check.hpp"
#include "sweep/sweep.hpp"

namespace switchyard::sweep {

/// stopped: has begun, nobody works on it, and it ended without an error of its own (signal, time limit, kill).
/// damaged: as stopped, but a file that tells how far it is cannot be read; running it again goes on from what is
/// sound.
enum class State { waiting, running, stopped, damaged, failed, finished };
const char* state_name(State state);

struct TaskState {
  State state = State::waiting;
  std::int64_t step = 0, steps = 0;  ///< of the newest sound checkpoint, and of the whole training
  std::string
      reason;  ///< of a failure: exit code and message; of a running task: host and process; of damage: the file
};

/// What is wrong with a task's files is its state, never an error: the others of the sweep go on.
TaskState look_at(const std::string& folder, const Sweep& sweep, const Task& task);
/// Whether the newest sound checkpoint is the last; false where the files are damaged. Throws where they cannot be
/// looked at.
bool is_finished(const std::string& folder, const Sweep& sweep, const Task& task);

/// Whether the task's run has a configuration, from which it goes on.
bool has_begun(const std::string& folder, const Task& task);

/// FOLDER/tasks/NAME.failed: what the last attempt said, but for Error{busy}, which is another's attempt. Kept until
/// the next one begins. A disk that cannot take it is no error beside the one that is noted.
void note_failure(const std::string& folder, const Task& task, const Error& error);
void forget_failure(const std::string& folder, const Task& task);

/// The table that `sweep status` prints: whole lines for people.
std::string table(const std::string& folder, const Sweep& sweep);

}  // namespace switchyard::sweep
