#include "sweep/queue.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <optional>

#include "config/values.hpp"
#include "sweep/state.hpp"

extern char** environ;

namespace switchyard::sweep {
namespace {

using Clock = std::chrono::steady_clock;

/// Signals that the queue waits for; blocked while it lives, so that none is lost between two waits.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    for (const int s : {SIGCHLD, SIGINT, SIGTERM, SIGUSR1, SIGUSR2}) sigaddset(&set_, s);
    sigprocmask(SIG_BLOCK, &set_, &before_);
  }
  Signals(const Signals&) = delete;
  ~Signals() { sigprocmask(SIG_SETMASK, &before_, nullptr); }
  int wait() const { return sigwaitinfo(&set_, nullptr); }
  const sigset_t& before() const { return before_; }

 private:
  sigset_t set_{}, before_{};
};

/// A process in a group of its own, so that a terminal's interrupt reaches the queue alone. Returns 0 or errno.
int spawn(const std::vector<std::string>& command, const sigset_t& mask, posix_spawn_file_actions_t* files,
          pid_t& pid) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigmask(&attributes, &mask);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  const int error = posix_spawnp(&pid, arguments[0], files, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  return error;
}

int exit_code(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

/// The tasks in work, and what became of the others.
class Runner {
 public:
  Runner(const Sweep& sweep, const Queue& queue) : sweep_(sweep), queue_(queue) {}
  Exit run();

 private:
  struct Running {
    std::size_t task;
    Clock::time_point start;
  };
  void start(std::size_t index);
  void reap();
  void stop(int signal);
  void say(std::size_t index, const std::string& text) const {
    std::printf("task %zu %s: %s\n", index, sweep_.tasks[index].name.c_str(), text.c_str());
    std::fflush(stdout);
  }

  const Sweep& sweep_;
  const Queue& queue_;
  const Signals signals_;
  std::map<pid_t, Running> running_;
  bool stopping_ = false;
  int first_failure_ = 0, stopped_ = 0;
};

void Runner::start(std::size_t index) {
  const std::string log = run_folder(queue_.folder, sweep_.tasks[index]) + ".log";
  std::vector<std::string> command = queue_.launch;
  for (const std::string& word : {queue_.program, std::string("sweep"), std::string("run"), queue_.folder,
                                  std::string("--task"), std::to_string(index)})
    command.push_back(word);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  pid_t pid = 0;
  const int error = spawn(command, signals_.before(), &files, pid);
  posix_spawn_file_actions_destroy(&files);
  check(error == 0, Exit::usage,
        command[0] + " cannot be started (" + std::strerror(error) + "); see --launch of switchyard sweep run");
  running_[pid] = {index, Clock::now()};
  say(index, "started");
}

/// Takes note of every task that has ended.
void Runner::reap() {
  int status = 0;
  for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0; pid = waitpid(-1, &status, WNOHANG)) {
    const auto found = running_.find(pid);
    if (found == running_.end()) continue;
    const auto [index, start] = found->second;
    running_.erase(found);
    const Task& task = sweep_.tasks[index];
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    const std::string took = " after " + std::to_string(static_cast<long>(seconds)) + " s";
    const int code = exit_code(status);
    if (code == 0) {
      say(index, "finished" + took);
    } else if (code == static_cast<int>(Exit::again)) {
      ++stopped_;
      say(index, "stopped early" + took + "; run the sweep again to continue");
    } else {
      if (!first_failure_) first_failure_ = code;
      const std::string reason = look_at(queue_.folder, sweep_, task).reason;
      say(index, "failed" + took + ": " + (reason.empty() ? "exit code " + std::to_string(code) : reason) + "; see " +
                     run_folder(queue_.folder, task) + ".log");
    }
  }
}

/// mpirun hands USR2 on and gives its ranks time; TERM it turns into a kill, and USR1 Ubuntu 24.04's (4.1.6) loses.
void Runner::stop(int signal) {
  std::printf("%s: stopping %zu running tasks after a checkpoint\n", strsignal(signal), running_.size());
  std::fflush(stdout);
  stopping_ = true;
  for (const auto& [pid, task] : running_) kill(pid, SIGUSR2);
}

Exit Runner::run() {
  for (std::size_t next = 0; next < sweep_.tasks.size() || !running_.empty();) {
    const bool room = static_cast<int>(running_.size()) < queue_.jobs;
    if (room && !stopping_ && next < sweep_.tasks.size()) {
      const Task& task = sweep_.tasks[next];
      if (is_finished(queue_.folder, sweep_, task))
        say(next, "finished already");
      else
        start(next);
      ++next;
      continue;
    }
    if (running_.empty()) {  // a signal came: what is left waits
      stopped_ += static_cast<int>(sweep_.tasks.size() - next);
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
  sigset_t mask;
  sigprocmask(SIG_SETMASK, nullptr, &mask);
  pid_t pid = 0;
  const int error = spawn(command, mask, &files, pid);
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
