#include "sweep/queue.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <map>
#include <numeric>

#include "base/files.hpp"
#include "base/output.hpp"
#include "base/signals.hpp"
#include "config/values.hpp"
#include "sweep/branches.hpp"
#include "sweep/state.hpp"

extern char** environ;

namespace switchyard::sweep {
namespace {

using Clock = std::chrono::steady_clock;

/// Signals that the queue waits for; blocked to the end of the process, so that none is lost between two waits and none
/// kills a queue that already stops.
class Signals {
 public:
  Signals() : stops_(stop_signal_set()), all_(stops_) {
    sigaddset(&all_, SIGCHLD);
    sigprocmask(SIG_BLOCK, &all_, nullptr);
  }
  int wait() const { return sigwaitinfo(&all_, nullptr); }
  /// A signal that asks to stop and waits already; −1 for none.
  int pending_stop() const {
    const timespec now{};
    return sigtimedwait(&stops_, nullptr, &now);
  }

 private:
  sigset_t stops_{}, all_{};
};

/// A process in a group of its own, so that a terminal's interrupt reaches the queue alone, with all signals as a shell
/// would give them. Returns 0 or errno.
int spawn(const std::vector<std::string>& command, posix_spawn_file_actions_t* files, pid_t& pid) {
  std::signal(SIGCHLD, SIG_DFL);  // who started this program may have left it ignored, and no end would be seen
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  sigset_t mask, ignored_here;
  sigemptyset(&mask);
  sigemptyset(&ignored_here);
  for (const int signal : {SIGPIPE, SIGXFSZ}) sigaddset(&ignored_here, signal);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigmask(&attributes, &mask);
  posix_spawnattr_setsigdefault(&attributes, &ignored_here);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  const int error = posix_spawnp(&pid, arguments[0], files, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  return error;
}

int exit_code(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

/// The tasks in work, and what became of the others.
class Runner {
 public:
  Runner(const Sweep& sweep, const Queue& queue) : sweep_(sweep), queue_(queue), waiting_(sweep.tasks.size()) {
    std::iota(waiting_.begin(), waiting_.end(), std::size_t{0});
  }
  Exit run();

 private:
  struct Running {
    std::size_t task;
    Clock::time_point start;
  };
  pid_t launch(std::size_t index) const;
  void start(std::size_t index);
  bool waits_for_trunk(std::size_t index) const;
  std::size_t take_next();
  void reap();
  void ended(std::size_t index, int code, long seconds);
  void stop(int signal);
  void say(std::size_t index, const std::string& text) const {
    std::printf("task %zu %s: %s\n", index, sweep_.tasks[index].name.c_str(), text.c_str());
    output::flush();
  }
  std::string log_of(std::size_t index) const { return run_folder(queue_.folder, sweep_.tasks[index]) + ".log"; }

  const Sweep& sweep_;
  const Queue& queue_;
  const Signals signals_;
  std::map<pid_t, Running> running_;
  std::vector<std::size_t> waiting_;  ///< tasks, in their order
  bool stopping_ = false;
  int first_failure_ = 0, stopped_ = 0;
};

/// Starts a task's process; throws where that fails.
pid_t Runner::launch(std::size_t index) const {
  const std::string log = log_of(index);
  const int file = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (file < 0) files::throw_system_error(errno, "open", log);
  std::vector<std::string> command = queue_.launch;
  for (const std::string& word : {queue_.program, std::string("sweep"), std::string("run"), queue_.folder,
                                  std::string("--task"), std::to_string(index)})
    command.push_back(word);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, file, 1);
  posix_spawn_file_actions_adddup2(&files, file, 2);
  pid_t pid = 0;
  const int error = spawn(command, &files, pid);
  posix_spawn_file_actions_destroy(&files);
  ::close(file);
  check(error == 0, Exit::usage,
        command[0] + " cannot be started (" + std::strerror(error) + "); see --launch of switchyard sweep run");
  return pid;
}

void Runner::start(std::size_t index) try {
  const Task& task = sweep_.tasks[index];
  if (is_finished(queue_.folder, sweep_, task)) return say(index, "finished already");
  if (const Task* trunk = trunk_of(sweep_, task);
      trunk && !has_begun(queue_.folder, task) && !has_trunk(queue_.folder, sweep_, task)) {
    ++stopped_;
    return say(index,
               "waits: its trunk " + trunk->name + " has no checkpoint of step " + std::to_string(task.from) + " yet");
  }
  running_[launch(index)] = {index, Clock::now()};
  say(index, "started");
} catch (const Error& e) {
  if (!first_failure_) first_failure_ = static_cast<int>(e.code());
  say(index, std::string("failed: ") + e.what());
}

/// Takes note of every task that has ended.
void Runner::reap() {
  int status = 0;
  for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
    const auto found = running_.find(pid);
    if (found == running_.end()) continue;
    const auto [index, start] = found->second;
    running_.erase(found);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    ended(index, exit_code(status), static_cast<long>(seconds));
  }
}

void Runner::ended(std::size_t index, int code, long seconds) {
  const std::string took = " after " + std::to_string(seconds) + " s";
  if (code == 0) return say(index, "finished" + took);
  // The signal of stop() may come before a process listens to it: it ends as it began.
  if (code == static_cast<int>(Exit::again) || (stopping_ && code == 128 + SIGUSR2)) {
    ++stopped_;
    return say(index, "stopped early" + took + "; run the sweep again to continue");
  }
  if (!first_failure_) first_failure_ = code;
  const TaskState now = look_at(queue_.folder, sweep_, sweep_.tasks[index]);
  const std::string reason = now.reason.empty() ? "exit code " + std::to_string(code) : now.reason;
  say(index, (now.state == State::finished ? "finished" : "failed") + took + ": " + reason + "; see " + log_of(index));
}

/// mpirun hands USR2 on and gives its ranks time; TERM it turns into a kill, and USR1 Ubuntu 24.04's (4.1.6) loses.
void Runner::stop(int signal) {
  std::printf("%s: stopping %zu running tasks after a checkpoint\n", strsignal(signal), running_.size());
  output::flush();
  stopping_ = true;
  for (const auto& [pid, task] : running_) kill(pid, SIGUSR2);
}

/// A branch whose checkpoint is not there yet, while its trunk may still make it.
bool Runner::waits_for_trunk(std::size_t index) const {
  const Task* trunk = trunk_of(sweep_, sweep_.tasks[index]);
  if (!trunk) return false;
  const auto at = static_cast<std::size_t>(trunk - sweep_.tasks.data());
  const bool ahead = std::ranges::find(waiting_, at) != waiting_.end() ||
                     std::ranges::any_of(running_, [at](const auto& one) { return one.second.task == at; });
  return ahead && !has_trunk(queue_.folder, sweep_, sweep_.tasks[index]);
}

/// The first task that may begin, taken from those that wait; the number of tasks where all wait for running ones.
std::size_t Runner::take_next() {
  const auto next = std::ranges::find_if(waiting_, [this](std::size_t index) { return !waits_for_trunk(index); });
  if (next == waiting_.end()) return sweep_.tasks.size();
  const std::size_t index = *next;
  waiting_.erase(next);
  return index;
}

Exit Runner::run() {
  while (!waiting_.empty() || !running_.empty()) {
    if (const int signal = signals_.pending_stop(); signal > 0) stop(signal);
    if (static_cast<int>(running_.size()) < queue_.jobs && !stopping_)
      if (const std::size_t index = take_next(); index < sweep_.tasks.size()) {
        start(index);
        continue;
      }
    if (running_.empty()) {  // a signal came: what is left waits
      stopped_ += static_cast<int>(waiting_.size());
      break;
    }
    const int signal = signals_.wait();
    if (signal == SIGCHLD) reap();
    if (signal > 0 && signal != SIGCHLD) stop(signal);
  }
  return first_failure_ ? static_cast<Exit>(first_failure_) : stopped_ ? Exit::again : Exit::ok;
}

}  // namespace

Exit run_queue(const Sweep& sweep, const Queue& queue) { return Runner(sweep, queue).run(); }

std::string output_of(const std::vector<std::string>& command, const std::string& advice) {
  int pipe_ends[2];
  expect(pipe2(pipe_ends, O_CLOEXEC) == 0, "a pipe");
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, pipe_ends[1], 1);
  pid_t pid = 0;
  const int error = spawn(command, &files, pid);
  posix_spawn_file_actions_destroy(&files);
  close(pipe_ends[1]);
  std::string output;
  std::array<char, 4096> part{};
  for (ssize_t n; error == 0 && (n = read(pipe_ends[0], part.data(), part.size())) > 0;)
    output.append(part.data(), static_cast<std::size_t>(n));
  close(pipe_ends[0]);
  check(error == 0, Exit::usage, command[0] + " cannot be started (" + std::strerror(error) + "); " + advice);
  int status = 0;
  waitpid(pid, &status, 0);
  check(status == 0, Exit::usage,
        join(command, " ") + " failed (exit code " + std::to_string(exit_code(status)) + "); " + advice);
  while (!output.empty() && output.back() == '\n') output.pop_back();
  return output;
}

}  // namespace switchyard::sweep
