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
    std::string log;                 ///< file that gets the message too; may be empty
    std::vector<std::string> hosts;  ///< of every rank of the world
  };
  /// Throws Error{usage} where the system gives no such file.
  Letter();
  Letter(const Letter&) = delete;
  ~Letter();
  void write(const Content& content) const;
  static Content read(int file);
  int file() const { return file_; }

 private:
  int file_;
};

/// Starts this program anew as `switchyard guard`, which shares the memory of the node. When the rank ends without
/// having left the run, and without having begun to end the job itself, that process says so once.
class Guard {
 public:
  /// `program`: the file to run. Throws Error{usage} where no process can be started.
  Guard(const Mates& mates, const std::vector<std::string>& hosts, const std::string& program = "/proc/self/exe");
  Guard(const Guard&) = delete;
  ~Guard();  ///< ends it
  void log_to(const std::string& file);

 private:
  Letter letter_;
  Letter::Content content_;
  int process_ = -1;
};

/// What `switchyard guard` does, given descriptors of the node's memory and of the letter: returns when the rank has
/// ended.
Exit stand_guard(int memory, int letter);

}  // namespace switchyard::train
