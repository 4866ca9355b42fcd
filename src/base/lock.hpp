// One job at a time: an advisory lock of a file, released by the system when the process ends, however it ends.
#pragma once
#include <string>
#include <utility>

namespace switchyard {

class FileLock {
 public:
  FileLock() = default;
  /// Makes `file` where it is missing (never through a link) and locks it, writing "HOST PROCESS" into it. `subject` is
  /// what the lock guards, for the message. Throws Error{busy} naming host and process of the job that holds it,
  /// Error{usage} where the file holds anything else: it is the user's.
  FileLock(const std::string& file, const std::string& subject);
  /// As above; the file goes with the lock: for what is locked only while it is made.
  static FileLock passing(const std::string& file, const std::string& subject);
  FileLock(FileLock&& other) noexcept { *this = std::move(other); }
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();
  /// Not empty where the file system cannot lock: two jobs would not notice each other.
  const std::string& warning() const { return warning_; }

  /// "HOST PROCESS" of the job that holds the lock now; empty where none does.
  static std::string holder(const std::string& file);
  /// "process 123 on host node7" of what holder() gave; "another job" where that is unknown.
  static std::string who(const std::string& holder);

 private:
  int fd_ = -1;
  bool passing_ = false;
  std::string warning_, file_;
};

}  // namespace switchyard
