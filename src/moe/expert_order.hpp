// In which order the rows of a rank's experts lie, and from where among the received rows each comes. Arithmetic of the
// host.
#pragma once
#include <cstdint>
#include <vector>

#include "config/layout.hpp"
#include "tensor/types.hpp"

namespace switchyard::moe {

inline bool holds(const Range& range, std::int64_t i) { return range.first <= i && i < range.last; }

/// Rows of the experts of a rank from which they come: of each place that hands rows on, its pieces.
struct Arrivals {
  int experts;                              ///< local
  const std::vector<std::int64_t>& counts;  ///< (pieces, experts) rows
  const std::vector<std::int64_t>& places;  ///< (places + 1) first piece of each
  const std::vector<Range>& first;  ///< (places) pieces of each whose rows come before its others, of all experts
  int me;                           ///< the place of the rank
  bool here_apart;                  ///< whether first[me] are rows that stay, which lie before all others

  int pieces() const { return static_cast<int>(places.back()); }
  bool stays(int place) const { return here_apart && place == me; }
};

/// Rows that lie together on both sides: they begin in the order of runs among the expert rows.
struct Run {
  Index row, received, count;
};

struct ExpertOrder {
  std::vector<Index> here;    ///< (experts + 1) rows of local expert e that stay are [e], [e + 1]
  std::vector<Index> others;  ///< (experts + 1) its others, counted from here.back()
  std::vector<Range> pieces;  ///< (experts, pieces) rows
  std::vector<Run> runs;
  std::vector<Range> received;  ///< (places) rows of each
  std::vector<Index> begins;    ///< of runs, while they are ordered
  Index rows() const { return here.back() + others.back(); }
};

/// Runs are at most this many.
inline Index most_runs(Index experts, Index places) { return 2 * experts * places; }

/// Of an expert rows lie by (place, its pieces `first` or not, piece), as they come by (place, `first` or not, expert,
/// piece). `order` is overwritten.
void order_rows(const Arrivals& arrivals, ExpertOrder& order);

}  // namespace switchyard::moe
