// Nobody on its node sees the only rank there die. A process beside it does, and tells.
#pragma once
#include <string>
#include <vector>

#include "base/check.hpp"
#include "train/mates.hpp"

namespace switchyard::train {

/// A file without a name in which a rank keeps what its guard has to know.
class Letter {
 public:
  struct Content {
    int rank = 0, process = 0;
    std::vector<std::string> hosts;  ///< of every rank of the world
    std::string log;                 ///< file that gets the message too; may be empty
  };
  Letter();
  Letter(const Letter&) = delete;
  ~Letter();
  void write(const Content& content) const;
  /// Throws Error{usage} where there is none.
  static Content read(int file);
  int file() const { return file_; }  ///< −1 where the system gives none

 private:
  int file_;
};

/// Starts this program anew as `switchyard guard`, which shares the memory of the node. When the rank ends without
/// having left the run, and without the message of its own watchdog, that process says so once; the launcher ends the
/// job.
class Guard {
 public:
  /// `program`: the file to run.
  Guard(const Mates& mates, const std::vector<std::string>& hosts, const std::string& program = "/proc/self/exe");
  Guard(const Guard&) = delete;
  ~Guard();  ///< ends it
  /// Whether it is there; nobody tells of the rank's end where the system lets no process be started.
  bool stands() const { return stands_; }
  void log_to(const std::string& file);

 private:
  void start(int memory, const std::string& program);
  Letter letter_;
  Letter::Content content_;
  int process_ = -1;
  bool stands_ = false;
};

/// Descriptors that `switchyard guard` is given.
struct GuardFiles {
  int memory = -1;  ///< of the node
  int letter = -1;
  int ready = -1;  ///< to which it writes a byte once it watches
};

/// What that process does: returns when the rank has ended.
Exit stand_guard(const GuardFiles& files);

}  // namespace switchyard::train
