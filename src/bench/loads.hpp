// Loads that a benchmark gives experts, and choices of tokens that make them: plain arithmetic of 64 bits, the same in
// bench/peers/loads.py, so that an opponent has the same rows. Free of Kokkos and MPI.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "config/enums.hpp"

namespace switchyard {
namespace bench {

/// balanced: as many for each; jittered: a normal tenth around that, and what drawing tokens at random adds; zipf: the
/// r-th expert, in a random order, has 1/r of the first, none more than there are tokens.
enum class Load { balanced, jittered, zipf };

}  // namespace bench

template <>
struct EnumNames<bench::Load> {
  static inline const std::vector<std::string> names{"balanced", "jittered", "zipf"};
};

namespace bench {

/// Tokens that choose `top_k` different ones of so many experts.
struct LoadShape {
  std::int64_t tokens;
  int experts, top_k;
  std::int64_t rows() const { return tokens * top_k; }
};

/// (E) rows of each expert: they sum to tokens * top_k, none has more than there are tokens, and none is empty where
/// there are as many rows as experts.
std::vector<std::int64_t> expert_loads(Load load, const LoadShape& shape);

/// (tokens, top_k) different experts for each token, in an order without meaning, so that expert e has loads[e] rows.
std::vector<std::int32_t> forced_choices(const std::vector<std::int64_t>& loads, const LoadShape& shape);

/// FNV-1a over the numbers of a table: equal where both sides of a comparison have the same rows.
std::uint64_t digest_of(const std::vector<std::int32_t>& choices);

}  // namespace bench
}  // namespace switchyard
