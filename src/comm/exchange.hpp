// Moving rows between the ranks of an expert-parallel group by a plan; how to add an algorithm stands in
// CONTRIBUTING.md.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/groups.hpp"
#include "comm/transport.hpp"
#include "config/config.hpp"
#include "config/layout.hpp"

namespace switchyard::comm {

/// Rows of a buffer, of each rank of a group.
using RowRanges = std::vector<Range>;

/// Of ranks one after another: those of rank p begin at first[p]; one entry a rank, and the end.
RowRanges consecutive(const std::vector<std::int64_t>& first);
/// Rows that a buffer has which ends with the last of them.
std::int64_t count_rows(const RowRanges& ranges);

/// Rows send[p] of the send buffer go to rank p of the group, and may go to others too; rows receive[p] of the receive
/// buffer come from it alone.
struct RowPlan {
  RowRanges send, receive;
};

/// A plan and the way home, as an exchange has prepared them: made once, for all journeys by them.
struct Itinerary {
  RowPlan out, home;
};
/// Home is each row where it came from.
Itinerary there_and_back(RowPlan out);
enum class Bound { out, home };

/// Identifies a journey for the watchdog and as MPI tag.
struct ExchangeTag {
  std::int64_t step = 0;
  int block = 0;
  int journey = 0;  ///< moe::Journey, or moe::Told
  int lane = 0;
};

/// What goes where.
struct Passage {
  const Itinerary& itinerary;
  Bound bound;
  std::int64_t row_bytes;
  ExchangeTag tag;
  const RowPlan& plan() const { return bound == Bound::out ? itinerary.out : itinerary.home; }
};

/// Rows on their way: owns the transfers. The buffers must live, and the itinerary, until it is finished. A flight that
/// is dropped waits; while an exception unwinds it ends the run instead, since its peers may never come.
class Flight {
 public:
  virtual ~Flight() = default;
  /// Those that come go to `to`; once, by Exchange::start or after Exchange::send. Rows that stay are there then.
  virtual void receive(void* to) = 0;
  virtual bool poll() = 0;    ///< lets them make progress; true once all rows have arrived and left
  virtual void finish() = 0;  ///< waits for that; after receive
};

/// Several flights may be under way at once. The ranks of the group start them in the same order; those of one tag, of
/// lanes one journey of a kind at a time, are also told in that order where their rows go.
class Exchange {
 public:
  virtual ~Exchange() = default;
  /// Where the rows lie that `start` takes and gives.
  virtual Memory memory() const = 0;
  /// Local; both plans fit the group.
  virtual Itinerary prepare(const Itinerary& plans) const = 0;
  /// Rows that stay on this rank are in `to` when it returns.
  virtual std::unique_ptr<Flight> start(const Passage& passage, const void* from, void* to) = 0;
  /// Before it is known how many rows come, which the itinerary says by the time of Flight::receive; where an exchange
  /// can't do that, nothing leaves before.
  virtual std::unique_ptr<Flight> send(const Passage& passage, const void* from) = 0;
  /// Whether Flight::receive waits for the other ranks.
  virtual bool blocks() const { return false; }
  virtual Picked picked() const { return {}; }  ///< transports; none where it takes none
};

/// Rows that go by nodes go pairwise on each hop.
/// Collective; throws as make_transports does.
std::unique_ptr<Exchange> make_exchange(const LayoutConfig& layout, const Communicator& group);

/// Those of an expert-parallel group: among all of its ranks, or, where rows go by nodes, among those of a node and
/// those of a rail.
struct Exchanges {
  /// Collective over the world; throws alike on all of its ranks.
  Exchanges(const LayoutConfig& layout, const Groups& groups);
  std::unique_ptr<Exchange> near, rail;
  Picked picked;  ///< pairs of all ranks; the note of the lowest rank that has one
};

}  // namespace switchyard::comm
