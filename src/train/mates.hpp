// The ranks of a node as a watchdog sees them: what each publishes in memory that they share, and its process.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/activity.hpp"
#include "comm/communicator.hpp"

namespace switchyard::train {

/// What the system says of a process.
enum class ProcessState { running, disk, stopped, traced, dead };

/// Of the file /proc/PID/stat, whose name in parentheses may hold anything; dead for an empty text or a zombie.
struct ProcessStat {
  ProcessState state = ProcessState::dead;
  std::uint64_t started = 0;  ///< clock ticks after the start of the machine
};
ProcessStat parse_stat(const std::string& text);
ProcessStat stat_of(int process);

/// A descriptor that becomes readable when the process ends; −1 where there is none (Linux before 5.3).
int open_process(int process);

/// Memory of the ranks of a node, zeros at first, without a name by which anybody else could open it or that could be
/// left behind. Unmapped with the last process.
class NodeMemory {
 public:
  /// Collective over both. Throws AgreedError where the system has no memory for it.
  NodeMemory(const comm::Communicator& world, const comm::Communicator& node, std::size_t bytes);
  NodeMemory(const NodeMemory&) = delete;
  ~NodeMemory();
  void* data() const { return data_; }
  int file() const { return file_; }

 private:
  std::size_t bytes_;
  int file_ = -1;
  void* data_ = nullptr;
};

/// This rank among those of its node.
class Mates {
 public:
  /// Collective over the world. From here to the destructor this rank's activity is published to the others.
  explicit Mates(const comm::Communicator& world);
  Mates(const Mates&) = delete;
  ~Mates();  // not before the thread that watches has ended

  int size() const { return static_cast<int>(processes_.size()); }
  int own() const { return own_; }  ///< its place among them
  int rank(int mate) const { return ranks_[mate]; }
  int process(int mate) const { return processes_[mate]; }
  activity::Record& record(int mate) const { return shared_->records()[mate]; }
  /// A descriptor that becomes readable for poll() when the process ends; −1 for none: the own process, one that cannot
  /// be seen, or any on a system without such descriptors (Linux before 5.3).
  int ending(int mate) const { return endings_[mate]; }
  /// Whether this rank can see the process; else, in another namespace of processes, it is running for all that state()
  /// knows.
  bool sees(int mate) const { return seen_[mate]; }
  ProcessState state(int mate) const;
  /// Sum of all that has gone on.
  std::uint64_t progress() const;
  /// Whether this rank is the one of its node to speak; once for all callers together.
  bool may_speak() const;
  /// Whether somebody may and has not said so yet.
  bool spoken() const { return shared_->spoken.load() != 0; }
  void has_spoken() const { shared_->spoken.store(1); }
  bool somebody_ends() const;  ///< may_speak was true for somebody, or a mate has left the run

  /// The memory of the node, and what is in it.
  int memory_file() const { return memory_.file(); }
  struct Shared {
    std::atomic<std::uint32_t> speaker, spoken;
    activity::Record* records() { return reinterpret_cast<activity::Record*>(this + 1); }
  };
  static std::size_t bytes_of(int ranks) { return sizeof(Shared) + ranks * sizeof(activity::Record); }

 private:
  void watch_processes(const comm::Communicator& node);
  comm::Communicator node_;
  int own_;
  std::vector<int> ranks_, processes_, endings_;
  std::vector<bool> seen_;
  std::vector<std::uint64_t> started_;
  NodeMemory memory_;
  Shared* shared_;
};

}  // namespace switchyard::train
