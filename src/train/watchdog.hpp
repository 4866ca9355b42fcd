// Ends a job whose ranks stand still, or one of which has died, with one message that says who waits for whom.
#pragma once
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "comm/communicator.hpp"
#include "train/guard.hpp"
#include "train/mates.hpp"
#include "train/stuck_report.hpp"

namespace switchyard::train {

/// A thread of each rank. When the ranks of its node have made no progress for `timeout` seconds, or one of them has
/// died, one of these threads writes the report to standard error and to the log, and ends the job by MPI_Abort with
/// Exit::stuck; it makes no other call of MPI (MPI_THREAD_FUNNELED). The end of a rank that is alone on its node is
/// told by its guard. Time in which the whole node stood still (a suspended machine, all processes stopped and
/// continued) does not count. What began after activity::leave() is not told.
class Watchdog {
 public:
  /// Collective over the world. `timeout` 0: there is no thread, and activities stay in this process.
  Watchdog(const comm::Communicator& world, double timeout);
  Watchdog(const Watchdog&) = delete;
  ~Watchdog();
  /// The file that gets the report as well.
  void log_to(const std::string& file);
  /// What it cannot see on the node of this rank; a sentence, or empty.
  std::string note() const;

 private:
  void watch();
  /// Whether it was told to end while it waited, until `seconds` have passed or a process ends.
  bool rests(double seconds);
  bool has_lost_a_mate();
  void speak(const std::string& headline);
  [[noreturn]] void end_job(const std::string& headline);
  Standstill look() const;

  double timeout_;
  std::vector<std::string> hosts_;  // of all ranks of the world
  std::optional<Mates> mates_;
  std::optional<Guard> guard_;  // of the only rank of a node among others
  int node_number_ = 0;         // of this node among the nodes
  int nodes_ = 1;
  std::vector<bool> known_dead_;
  std::mutex log_lock_;
  std::string log_;
  int ending_ = -1;  // eventfd: the thread is to end
  std::thread thread_;
};

}  // namespace switchyard::train
