#include "sweep/state.hpp"

#include <array>
#include <filesystem>
#include <iomanip>
#include <sstream>

#include "base/failure.hpp"
#include "base/files.hpp"
#include "checkpoint/checkpoint.hpp"
#include "record/run_folder.hpp"

namespace switchyard::sweep {
namespace {

namespace fs = std::filesystem;

std::string failure_file(const std::string& folder, const Task& task) { return run_folder(folder, task) + ".failed"; }

/// In one line, as the table shows it.
std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (char& c : text)
    if (c == '\n') c = ' ';
  return text;
}

}  // namespace

const char* state_name(State state) {
  constexpr std::array names{"waiting", "running", "stopped", "damaged", "failed", "finished"};
  return names[static_cast<std::size_t>(state)];
}

bool is_finished(const std::string& folder, const Sweep& sweep, const Task& task) try {
  return checkpoint::checkpoint_step(run_folder(folder, task)) >= config_of(sweep, task).train.steps;
} catch (const std::exception& e) {
  if (as_error(e).code() != Exit::corrupt) throw;
  return false;
}

TaskState look_at(const std::string& folder, const Sweep& sweep, const Task& task) try {
  const std::string run = run_folder(folder, task), failure = failure_file(folder, task);
  TaskState state;
  state.steps = config_of(sweep, task).train.steps;
  const bool blocked = fs::exists(run) && !fs::is_directory(run);
  state.step = checkpoint::checkpoint_step(run, &state.reason);
  if (blocked) state.reason = run + " is no folder; move it away";
  const std::string holder = record::RunFolder::holder(run);
  if (!holder.empty())
    state.state = State::running, state.reason = holder;
  else if (state.step >= state.steps)
    state.state = State::finished;
  else if (!blocked && fs::exists(failure))
    state.state = State::failed, state.reason = files::read_text(failure);
  else if (!state.reason.empty())
    state.state = State::damaged;
  else if (fs::exists(run))
    state.state = State::stopped;
  state.reason = one_line(state.reason);
  return state;
} catch (const std::exception& e) {
  return {State::damaged, 0, 0, one_line(as_error(e).what())};
}

bool has_begun(const std::string& folder, const Task& task) {
  return fs::exists(run_folder(folder, task) + "/config.yaml");
}

void note_failure(const std::string& folder, const Task& task, const Error& error) {
  if (error.code() == Exit::busy) return;
  try {
    files::write_text(failure_file(folder, task),
                      "exit code " + std::to_string(static_cast<int>(error.code())) + ": " + error.what() + "\n");
  } catch (const Error&) {
  }
}

void forget_failure(const std::string& folder, const Task& task) {
  std::error_code ignored;
  fs::remove(failure_file(folder, task), ignored);
}

std::string table(const std::string& folder, const Sweep& sweep) {
  std::ostringstream out;
  std::array<int, 6> count{};
  std::size_t width = 4;
  for (const Task& task : sweep.tasks) width = std::max(width, task.name.size());
  const int w = static_cast<int>(width);
  out << std::left << std::setw(6) << "task" << std::setw(w + 2) << "name" << std::setw(10) << "state"
      << "steps\n";
  for (std::size_t i = 0; i < sweep.tasks.size(); ++i) {
    const Task& task = sweep.tasks[i];
    const TaskState s = look_at(folder, sweep, task);
    ++count[static_cast<std::size_t>(s.state)];
    out << std::left << std::setw(6) << i << std::setw(w + 2) << task.name << std::setw(10) << state_name(s.state)
        << s.step << "/" << s.steps << (s.reason.empty() ? "" : "  " + s.reason) << "\n";
  }
  out << sweep.tasks.size() << " tasks:";
  const char* separator = " ";
  for (std::size_t s = count.size(); s-- > 0;)
    if (count[s]) out << std::exchange(separator, ", ") << count[s] << " " << state_name(static_cast<State>(s));
  out << "\n";
  return out.str();
}

}  // namespace switchyard::sweep
