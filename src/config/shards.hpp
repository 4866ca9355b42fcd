// Which part of the slabs of parameters belongs to whom: pure arithmetic, without MPI and Kokkos.
#pragma once
#include <algorithm>
#include <vector>

#include "config/architecture.hpp"
#include "config/layout.hpp"

namespace switchyard {

/// What owner `owner` of `owners` has of n elements: whole blocks of unit_block, but for the end of the last one, and
/// as many as the others or one more; nothing where there are fewer blocks than owners.
inline Range slice_of(std::int64_t n, int owners, int owner) {
  const Range blocks = split_evenly((n + unit_block - 1) / unit_block, owners, owner);
  return {std::min(blocks.first * unit_block, n), std::min(blocks.last * unit_block, n)};
}

/// The elements that are in both; empty, but anywhere, where there are none.
inline Range common(const Range& a, const Range& b) {
  const std::int64_t first = std::max(a.first, b.first);
  return {first, std::max(first, std::min(a.last, b.last))};
}

/// Elements of a slab whose optimizer's state a rank has, and where: `at` is the first of them.
struct Piece {
  Range elements;
  std::int64_t at = 0;
  bool operator==(const Piece&) const = default;
};

/// The slices of an owner, of each of `parts` (ascending, of one slab), kept one after another; empty ones left out.
inline std::vector<Piece> shard_of(const std::vector<Range>& parts, int owners, int owner) {
  std::vector<Piece> pieces;
  std::int64_t at = 0;
  for (const Range& part : parts) {
    const Range slice = slice_of(part.size(), owners, owner);
    if (slice.size() == 0) continue;
    pieces.push_back({{part.first + slice.first, part.first + slice.last}, at});
    at += slice.size();
  }
  return pieces;
}

/// How many elements they have.
inline std::int64_t elements_of(const std::vector<Piece>& pieces) {
  return pieces.empty() ? 0 : pieces.back().at + pieces.back().elements.size();
}

/// The buckets of gradients whose slices have owners that keep the state of the optimizer (layout.zero 1); none where
/// every rank keeps all of it.
inline std::vector<Range> sharded_buckets(const Config& config) {
  return config.layout.zero == 1 ? gradient_buckets(config) : std::vector<Range>{};
}

}  // namespace switchyard
