// Seconds and bytes of each phase of a step.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace switchyard {

/// The phases of a step, in the order of the data flow; rows of the timing table and of `seconds` in run.h5.
enum class Phase {
  data,
  embedding,
  attention,
  feed_forward,
  router,
  plan,
  dispatch,
  experts,
  combine,
  head,
  reduce,
  optimizer,
  balance,
  captured,  ///< of steps that are graphs, whose tasks have no times of their own
  record,
  evaluate,
  checkpoint,
  count
};

inline const std::vector<std::string>& phase_names() {
  static_assert(static_cast<int>(Phase::count) == 17, "a name for every phase");
  static const std::vector<std::string> names{
      "data", "embedding", "attention", "feed_forward", "router",   "plan",   "dispatch", "experts",   "combine",
      "head", "reduce",    "optimizer", "balance",      "captured", "record", "evaluate", "checkpoint"};
  return names;
}

/// Accumulated since the last clear(). One object a rank, passed by reference to every stage.
struct Timers {
  static constexpr int phases = static_cast<int>(Phase::count);
  std::array<double, phases> seconds{};             ///< s, this rank
  std::array<std::int64_t, phases> bytes{};         ///< bytes this rank sent to other ranks
  std::array<std::int64_t, phases> bytes_across{};  ///< of rows, those to ranks on other nodes
  void clear() { seconds = {}, bytes = {}, bytes_across = {}; }
};

}  // namespace switchyard
