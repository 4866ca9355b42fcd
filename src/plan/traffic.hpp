// Bytes that ranks send each other in a step, under even random routing: closed forms. No MPI, no Kokkos.
#pragma once
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "config/layout.hpp"
#include "config/moe_layers.hpp"

namespace switchyard::plan {

/// Bytes of one journey of one lane, or of one sum of gradients.
struct Bytes {
  double near = 0.0;    ///< what the busiest rank sends to, or gets from, others of its node
  double far = 0.0;     ///< what the busiest node sends to, or gets from, others
  double all = 0.0;     ///< of all ranks together
  double across = 0.0;  ///< of these between nodes
  Bytes& operator+=(const Bytes& other);
};

/// Where the rows of a lane go between tokens and experts: straight all at once; by nodes first over the first leg,
/// then inside the node.
struct Hops {
  Bytes first;  ///< between tokens and the ranks that hand them on
  Bytes near;   ///< inside a node after that
};

class Traffic {
 public:
  /// `ranks_per_node` neighbouring ranks are a node.
  Traffic(const Config& config, const Layout& layout, int ranks_per_node, double load = 1.0);

  /// Rows of a lane on their way to the experts of a layer, or home from it.
  Hops rows_out(int lane, const MoeLayer& layer) const { return hops(lane, layer, true); }
  Hops rows_home(int lane, const MoeLayer& layer) const { return hops(lane, layer, false); }
  /// What the plan of a lane in a layer tells ahead of its rows: numbers of rows, by nodes on the first leg, with
  /// the choices of their tokens.
  Bytes numbers(int lane, const MoeLayer& layer) const;
  /// Partial sums of the gradients of blocks [first, last) to their owners, and what the owners give to all others:
  /// sums, or, with shards of the optimizer, values.
  Bytes sums_to_owners(const Range& blocks) const;
  Bytes owners_to_all(const Range& blocks) const;
  /// Rows in all journeys of a step.
  Bytes rows_of_step() const;

 private:
  Hops hops(int lane, const MoeLayer& layer, bool out) const;
  Bytes straight(const Layout& lane, int experts) const;
  Bytes on_leg(int leg, const Layout& lane, const MoeLayer& layer, bool out) const;
  Bytes inside(const Layout& lane, int experts) const;
  /// Elements that ranks hold together with others: of each place of an expert-parallel group, or of the one kind of
  /// place that all ranks are.
  using Held = std::vector<double>;
  Bytes slices(const Held& held, double copies) const;
  std::pair<Held, Held> elements_of(const Range& blocks) const;
  double tokens_of(const Layout& lane, int rank) const;
  double tokens_at(int stop, const Layout& lane, int rank) const;
  int node_of(int rank) const { return rank / ranks_per_node_; }

  Config config_;
  Layout layout_;
  int ranks_per_node_;
  double load_, row_bytes_;
};

/// Of an element of the rows that travel.
double element_bytes(const Config& config);

/// FLOP that experts of m matrices (h, d) compute for a byte that one of p ranks (or nodes) sends, rows going straight:
/// forwards 2·m·d·h of a row by 2·d·b·(p − 1)/p, which is m·h/b · p/(p − 1); of a whole step 1.5 times that, since the
/// way back has twice the work and as many bytes. Infinite where p is 1.
double flop_per_byte(int matrices, double hidden, double element_bytes, int parts);

}  // namespace switchyard::plan
