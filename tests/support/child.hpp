// Work in a process of its own: for what changes a whole process, or ends it.
#pragma once
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <functional>
#include <optional>

#include "base/check.hpp"

namespace switchyard::test {

/// The code of the Error that `work` throws; Exit::ok where it throws none.
inline Exit code_of(const std::function<void()>& work) try {
  work();
  return Exit::ok;
} catch (const Error& error) {
  return error.code();
}

/// A process that runs `work` and ends with what it returns, without tidying up; killed with its scope.
class Child {
 public:
  explicit Child(const std::function<int()>& work) {
    std::fflush(nullptr);
    process_ = ::fork();
    if (process_ == 0) ::_exit(work());
  }
  Child(const Child&) = delete;
  ~Child() {
    if (!status_) kill();
  }
  pid_t process() const { return process_; }
  int kill() {
    ::kill(process_, SIGKILL);
    return wait();
  }
  /// Its exit code; 200 + signal if it died of one.
  int wait() {
    int status = 0;
    if (!status_ && ::waitpid(process_, &status, 0) == process_) status_ = status;
    const int how = status_.value_or(0xff00);
    return WIFSIGNALED(how) ? 200 + WTERMSIG(how) : WEXITSTATUS(how);
  }

 private:
  pid_t process_ = -1;
  std::optional<int> status_;
};

/// The exit code of `work` in a process of its own.
inline int in_child(const std::function<int()>& work) { return Child(work).wait(); }

/// From here on this process cannot write files of more bytes, as on a full disk: EFBIG, not a signal.
inline void limit_files(rlim_t bytes) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{bytes, bytes};
  ::setrlimit(RLIMIT_FSIZE, &limit);
}

}  // namespace switchyard::test
