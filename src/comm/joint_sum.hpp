// Sums over the global batch that many ask for and two collectives make, whatever their number: counts by one, numbers
// along the grain tree by another.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "comm/groups.hpp"

namespace switchyard::comm {

class JointSum {
 public:
  explicit JointSum(const Groups& groups)
      : groups_(groups), layout_(groups.layout.of_statistics()), of_node_(layout_.my_nodes().size()) {}

  /// Where the sums of one caller lie; the callers of all ranks add the same numbers in the same order.
  struct Place {
    std::size_t count, counts, value, values;
  };
  /// `counts` of this rank, and `grains`: n values of each grain of this rank, (grains, n). Before reduce().
  Place add(std::span<const std::int64_t> counts, const std::vector<double>& grains, std::size_t n);
  /// Collective over the world.
  void reduce();
  /// Sums over all ranks, and over all grains along their tree; the same bits on every rank and layout. After reduce().
  std::span<const std::int64_t> counts(const Place& place) const {
    return {counts_.data() + place.count, place.counts};
  }
  std::span<const double> values(const Place& place) const { return {values_.data() + place.value, place.values}; }

 private:
  const Groups& groups_;
  Layout layout_;
  std::vector<std::int64_t> counts_;
  std::size_t width_ = 0;                     ///< values of a node, of all callers
  std::vector<std::vector<double>> of_node_;  ///< before reduce: (nodes) of (width)
  std::vector<double> values_;
};

}  // namespace switchyard::comm
