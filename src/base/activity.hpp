// What this rank does now, for the watchdog: written by the thread that works, read by a thread of any rank of the
// node. Free of MPI; ranks are those of the world.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace switchyard::activity {

/// Parts of a run, in the order in which they come from one step to the next.
enum class Part : std::int32_t { start, tasks, record, evaluation, checkpoint, agreement, segment, end, count };

/// Ranks first, first + stride, ...: `count` of them.
struct Ranks {
  std::int32_t first = 0, stride = 1, count = 0;
  bool has(int rank) const {
    return count > 0 && rank >= first && (rank - first) % stride == 0 && (rank - first) / stride < count;
  }
  bool operator==(const Ranks&) const = default;
};

/// The smallest such set that has all of `ranks` (at least one, in any order): for the groups of a run it is the group.
Ranks around(std::span<const int> ranks);

enum class Wait : std::int32_t {
  none,
  group,     ///< in a collective of `group`
  messages,  ///< for messages from or to ranks of `group`
};

/// What a rank waits for, where several things are on their way in one task.
enum class Hop : std::int32_t {
  none,
  rail,     ///< rows between nodes, where they go by nodes
  near,     ///< rows inside a node there
  weights,  ///< gradients of combine weights
  sums,     ///< gradients of a bucket
  numbers,  ///< of rows, ahead of these
};

/// Plain numbers, since the ranks of a node read each other's from shared memory.
struct Now {
  std::int32_t round = 0;  ///< grows with begin_round, and the steps of each count for themselves
  std::int32_t lanes = 0;  ///< that are measured before the run; 0: the run itself
  std::int64_t step = 0;   ///< that is trained or was trained last; 0 before the first
  Part part = Part::start;
  std::int32_t task = -1;  ///< number in the list of the step; −1 outside of tasks
  std::int32_t stage = 0, direction = 0, block = -1, lane = 0;  ///< of the task, as schedule::Task has them
  Wait wait = Wait::none;
  Hop hop = Hop::none;
  std::int32_t bucket = -1;  ///< of Hop::sums: its first block, −1 for the embedding
  Ranks group;
  std::int32_t peers = 0;              ///< ranks whose messages were incomplete when the watchdog asked; 0 before
  std::array<std::int32_t, 8> peer{};  ///< the first of them

  /// Whether `other` is at an earlier place of the run, whose order is the same on every rank.
  bool is_ahead_of(const Now& other) const;
};

/// What one rank does, in memory that other processes may share: all zeros is a rank that has not begun. A writer that
/// is stopped or killed, at whatever instruction, leaves what it published last.
class Record {
 public:
  void publish(const Now& now);  ///< by one thread only
  Now read() const;              ///< by any

  std::atomic<std::uint64_t> progress;   ///< grows with everything that the rank begins or comes through
  std::atomic<std::uint32_t> questions;  ///< asked by the watchdog: whose messages are incomplete?
  std::atomic<std::uint32_t> left;       ///< not 0: it has left the run in order, or ends the job and says why itself

 private:
  static constexpr std::size_t words = (sizeof(Now) + 7) / 8;
  using Slot = std::array<std::atomic<std::uint64_t>, words>;
  std::atomic<std::uint64_t> version_;
  std::array<Slot, 2> slots_;  // the next is written while the last can be read
};

/// From here on this rank's record is `record`, which then has what the one before had; nullptr: memory of this
/// process. Not while another thread reads the record before.
void write_to(Record* record);

// All of these cost a few stores. They are called by the thread that works.

/// The steps from here on are of their own: of a measurement with so many lanes, or, 0, of the run.
void begin_round(int lanes);
void begin(Part part, std::int64_t step);  ///< all that a rank does until the next part belongs to it
void begin(Part part);                     ///< of the same step
/// A task of the step: its number in the list, and schedule::Task's numbers.
void begin_task(int number, int stage, int direction, int block, int lane);
void progress();  ///< something long goes on: a file was written, a batch evaluated
void leave();     ///< see Record::left

/// What this rank waits for is on such a hop, from construction to destruction; then on the one before again.
class OnHop {
 public:
  explicit OnHop(Hop hop, int bucket = -1);
  OnHop(const OnHop&) = delete;
  ~OnHop();

 private:
  Hop hop_;
  std::int32_t bucket_;
};

/// This rank waits for others, from construction to destruction.
class Waiting {
 public:
  /// In a collective of a group, or for messages of one.
  explicit Waiting(const Ranks& group, Wait wait = Wait::group);
  Waiting(const Waiting&) = delete;
  ~Waiting();
  /// Whether the watchdog has asked, since the last answer, whose messages are incomplete.
  bool asked() const;
  void answer(std::span<const int> peers);  ///< ranks of the world
};

}  // namespace switchyard::activity
