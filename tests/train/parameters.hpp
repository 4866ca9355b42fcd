// A small set of parameters of every kind on the ranks of a test, and numbers for them.
#pragma once
#include <vector>

#include "support/ranks.hpp"

namespace switchyard::test {

/// Embedding with a second source, a norm, a matrix longer than a norm block, and experts: 5 of them, and one alone; in
/// blocks −1, 0 and 1.
inline std::vector<TensorSpec> tensors_of_every_kind() {
  const auto plain = [](TensorSpec t) {
    t.decay = false;
    return t;
  };
  TensorSpec gather = plain(tensor("embedding.gather", {37, 24}));
  gather.adds_to = "embedding.weight";
  TensorSpec norm = plain(tensor("norm.weight", {7}));
  norm.init = Init::ones;
  std::vector<TensorSpec> all{plain(tensor("embedding.weight", {37, 24})),
                              gather,
                              norm,
                              tensor("experts.up", {5, 90, 50}, Placement::expert),
                              tensor("dense.weight", {100, 131}),
                              tensor("alone.up", {1, 3, 5}, Placement::expert)};
  const int blocks[] = {-1, -1, 0, 0, 1, 1};
  for (std::size_t i = 0; i < all.size(); ++i) all[i].block = blocks[i];
  return all;
}

/// All ranks with parameters; `degree` 0: one expert-parallel group. With buckets in `sharded` they have shards.
inline Ranks make_ranks(int degree, int grains = 8, const std::vector<TensorSpec>& tensors = tensors_of_every_kind(),
                        const std::vector<Range>& sharded = {}) {
  Config config;
  config.train.grains = grains;
  return Ranks(config, MPI_COMM_WORLD, degree, tensors, sharded);
}

/// Buckets of those tensors.
inline const std::vector<std::vector<Range>> bucketings{{{-1, 2}}, {{1, 2}, {-1, 1}}, {{1, 2}, {0, 1}, {-1, 0}}};

/// A number that depends on all arguments, of widely spread magnitude, so that another order of sums gives other bits.
inline float spread(int id, std::int64_t unit, Index element, int grain) {
  std::uint64_t h = (static_cast<std::uint64_t>(id) << 48) ^ (static_cast<std::uint64_t>(unit) << 32) ^
                    (static_cast<std::uint64_t>(grain) << 26) ^ static_cast<std::uint64_t>(element);
  h = (h + 0x9E3779B97F4A7C15ull) * 0xBF58476D1CE4E5B9ull;
  h = (h ^ (h >> 29)) * 0x94D049BB133111EBull;
  const float mantissa =
      static_cast<float>(static_cast<std::int64_t>(h >> 41) - (1 << 22)) / static_cast<float>(1 << 22);
  return mantissa * static_cast<float>(1 << (h % 11)) * 1e-3f;
}

}  // namespace switchyard::test
