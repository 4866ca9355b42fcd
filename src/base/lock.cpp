#include "base/lock.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/check.hpp"
#include "base/files.hpp"

namespace switchyard {
namespace {

std::string this_process() {
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  return std::string(host) + " " + std::to_string(getpid());
}

/// A lock of the whole file for writing.
struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

/// Locks the whole file for writing; 0 or errno. A lock of the open file where the kernel has them, since a lock of the
/// process is lost as soon as anything in it closes the file, and since its own second attempt would succeed.
int try_lock(int file) {
  struct flock lock = whole_file();
#ifdef F_OFD_SETLK
  if (fcntl(file, F_OFD_SETLK, &lock) == 0) return 0;
  if (errno != EINVAL) return errno;
#endif
  return fcntl(file, F_SETLK, &lock) == 0 ? 0 : errno;
}

/// Whether someone else has locked the file.
bool is_locked(int file) {
  struct flock lock = whole_file();
#ifdef F_OFD_GETLK
  if (fcntl(file, F_OFD_GETLK, &lock) == 0) return lock.l_type != F_UNLCK;
#endif
  return fcntl(file, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

std::string content(int file) {
  char text[300] = {};
  const ssize_t n = pread(file, text, sizeof text - 1, 0);
  std::string line(text, n > 0 ? static_cast<std::size_t>(n) : 0);
  while (!line.empty() && line.back() == '\n') line.pop_back();
  return line;
}

/// Whether the file is one of ours: empty, or one line "HOST PROCESS".
bool is_lock(int file) {
  struct stat status {};
  if (::fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > 290) return false;
  const std::string line = content(file);
  const std::size_t space = line.find(' ');
  return line.empty() ? status.st_size == 0
                      : space != std::string::npos && space > 0 && space + 1 < line.size() &&
                            line.find_first_not_of("0123456789", space + 1) == std::string::npos;
}

/// Puts `text` in place of what the file holds; 0 or errno. A write that comes to the end of its room is short first.
int write_whole(int file, const std::string& text) {
  if (ftruncate(file, 0) != 0) return errno;
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = pwrite(file, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (n < 0) return errno;
    done += static_cast<std::size_t>(n);
  }
  return 0;
}

/// Whether `file` still names the open file `fd`: a lock that was removed between open and lock guards nothing.
bool is_still(const std::string& file, int fd) {
  struct stat named {
  }, opened{};
  return ::lstat(file.c_str(), &named) == 0 && ::fstat(fd, &opened) == 0 && named.st_ino == opened.st_ino &&
         named.st_dev == opened.st_dev;
}

}  // namespace

FileLock::FileLock(const std::string& file, const std::string& subject) : file_(file) {
  do {
    if (fd_ >= 0) ::close(fd_);
    fd_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    const bool odd = fd_ < 0 && (errno == ELOOP || errno == EISDIR || errno == ENXIO);
    if (fd_ < 0 && !odd) files::throw_system_error(errno, "open", file);
    if (odd || !is_lock(fd_)) {
      if (fd_ >= 0) ::close(std::exchange(fd_, -1));
      throw Error(Exit::usage, file +
                                   " is not a lock of this program (it is a folder or a link, or holds something "
                                   "else); rename or remove it");
    }
    const int error = try_lock(fd_);
    if (error == EACCES || error == EAGAIN) {
      std::string holder = content(fd_);
      for (int i = 0; holder.empty() && i < 50; ++i) {  // who has just taken it writes its name next
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        holder = content(fd_);
      }
      ::close(std::exchange(fd_, -1));
      throw Error(Exit::busy,
                  subject + " is in use (by " + who(holder) + "); wait for it, end it, or choose another folder");
    }
    if (error != 0)
      warning_ =
          "cannot lock " + file + " (" + std::strerror(error) + "): a second job in this folder would go unnoticed";
  } while (!is_still(file, fd_));
  if (const int error = write_whole(fd_, this_process() + "\n"); error != 0) {
    if (warning_.empty()) ::unlink(file.c_str());  // nobody else holds it
    ::close(std::exchange(fd_, -1));
    files::throw_system_error(error, "write", file);
  }
}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(passing_, other.passing_);
  std::swap(warning_, other.warning_);
  std::swap(file_, other.file_);
  return *this;
}

FileLock::~FileLock() {
  if (fd_ < 0) return;
  if (passing_) ::unlink(file_.c_str());
  ::close(fd_);
}

FileLock FileLock::passing(const std::string& file, const std::string& subject) {
  FileLock lock(file, subject);
  lock.passing_ = true;
  return lock;
}

std::string FileLock::who(const std::string& holder) {
  const std::size_t space = holder.rfind(' ');
  if (space == std::string::npos) return "another job";
  return "process " + holder.substr(space + 1) + " on host " + holder.substr(0, space);
}

std::string FileLock::holder(const std::string& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return "";
  const std::string who = is_locked(fd) ? content(fd) : "";
  ::close(fd);
  return who;
}

}  // namespace switchyard
