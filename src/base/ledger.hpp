// What this rank sends to others in a step, counted where messages are posted: bytes and messages by purpose and rank.
// Free of MPI; ranks are those of the world. Kept by the thread that works.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace switchyard::ledger {

/// In the order of the data flow; rows of `purpose` in run.h5.
enum class Purpose {
  plan,           ///< counts of rows, and what is told of choices
  dispatch,       ///< rows to their experts
  combine,        ///< and home
  combine_back,   ///< gradients of outputs to the experts
  dispatch_back,  ///< gradients of rows home
  weights,        ///< and those of combine weights that are made where the rows are
  statistics,     ///< losses and loads
  reduce,         ///< gradients
  norm,
  gather,  ///< values from their owners
  other,   ///< all else that tasks of a step send
  count
};

const std::vector<std::string>& purpose_names();

struct Sent {
  std::int64_t bytes = 0, messages = 0;
  bool operator==(const Sent&) const = default;
};

/// Opens the ledger of a step among so many ranks: nothing has been sent. Takes memory the first time only.
void open(int ranks);
/// What follows belongs to no step.
void close();

/// What is sent from construction to destruction is for a purpose.
class For {
 public:
  explicit For(Purpose purpose);
  For(const For&) = delete;
  ~For();

 private:
  Purpose before_;
};

/// A message to another rank. A collective, whose messages are MPI's own affair, is what each rank gives to each other
/// one that asks for it.
void sent(int rank, std::int64_t bytes);

/// (purposes, ranks) of the step.
std::span<const Sent> entries();

}  // namespace switchyard::ledger
