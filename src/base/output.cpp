#include "base/output.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

namespace switchyard::output {
namespace {

int reason = 0;  // errno of the first write that failed; 0 where it is not known
bool told = false;
std::string copy, other;

std::string why() {
  if (reason == EBADF) return "it is closed";
  return reason ? std::strerror(reason) : "a write failed";
}

}  // namespace

void prepare() {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})  // the lowest free number is taken
    if (::fcntl(stream, F_GETFD) < 0 && ::open("/dev/null", stream == STDOUT_FILENO ? O_RDONLY : O_RDWR) != stream)
      return;  // writing to what was closed still fails
}

bool flush() {
  if (std::fflush(stdout) != 0 && reason == 0) reason = errno;
  return std::ferror(stdout) == 0;
}

void also_in(const std::string& file) { copy = file; }

void lose(const std::string& sentence) {
  if (other.empty()) other = sentence;
}

std::string take_loss() {
  bool whole = flush();
  if (!whole && reason == 0 && ::write(STDOUT_FILENO, "\n", 1) < 0) reason = errno;  // it went with the data: ask again
  // File systems over a network tell of a full disk when a file is closed.
  if (const int last = whole ? ::dup(STDOUT_FILENO) : -1; last >= 0 && ::close(last) != 0)
    whole = false, reason = errno;
  if (std::exchange(told, told || !whole || !other.empty())) return "";
  if (whole) return other;
  if (copy.empty())
    return "cannot write to standard output (" + why() +
           "); files that the command makes are whole, what it prints is not: give it a place for that";
  return "the log on standard output was lost (" + why() + "), the run was not; all lines stand in " + copy;
}

}  // namespace switchyard::output
