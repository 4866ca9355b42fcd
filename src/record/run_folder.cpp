#include "record/run_folder.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "base/check.hpp"
#include "base/files.hpp"

namespace switchyard::record {
namespace {

namespace fs = std::filesystem;

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

}  // namespace

RunFolder::RunFolder(const std::string& path) : path_(path) {
  std::error_code error;
  fs::create_directories(path + "/segments", error);
  if (error) files::throw_system_error(error.value(), "create", path + "/segments");
  take_lock();
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) ::close(lock_);
}

void RunFolder::take_lock() {
  const std::string file = path_ + "/lock";
  lock_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_ < 0) files::throw_system_error(errno, "open", file);
  const int error = try_lock(lock_);
  if (error == EACCES || error == EAGAIN) {
    const std::string holder = content(lock_);
    ::close(lock_);
    const std::size_t space = holder.rfind(' ');
    throw Error(Exit::busy, path_ + " is in use (" +
                                (space == std::string::npos ? std::string("by another job")
                                                            : "by process " + holder.substr(space + 1) + " on host " +
                                                                  holder.substr(0, space)) +
                                "); wait for it, end it, or choose another folder");
  }
  if (error != 0)
    warning_ =
        "cannot lock " + file + " (" + std::strerror(error) + "): a second job in this folder would go unnoticed";
  const std::string text = this_process() + "\n";
  if (ftruncate(lock_, 0) != 0 || pwrite(lock_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    files::throw_system_error(errno, "write", file);
}

std::string RunFolder::holder(const std::string& path) {
  const int file = ::open((path + "/lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return "";
  const std::string who = is_locked(file) ? content(file) : "";
  ::close(file);
  return who;
}

std::string RunFolder::segment_path(const std::string& path, int segment) {
  char name[16];
  std::snprintf(name, sizeof name, "%03d", segment);
  return path + "/segments/" + name;
}

int RunFolder::count_segments(const std::string& path) {
  int next = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path + "/segments", error)) {
    const std::string name = entry.path().filename().string();
    if (std::all_of(name.begin(), name.end(), [](unsigned char c) { return c >= '0' && c <= '9'; }))
      next = std::max(next, std::stoi(name) + 1);
  }
  return next;
}

std::string RunFolder::start_segment() {
  const std::string folder = segment_path(path_, count_segments(path_));
  std::error_code error;
  if (!fs::create_directory(folder, error)) files::throw_system_error(error ? error.value() : EEXIST, "create", folder);
  files::sync_path(path_ + "/segments");
  return folder;
}

void RunFolder::write(const std::string& name, const std::string& text) const {
  files::write_text(path_ + "/" + name, text);
}

}  // namespace switchyard::record
