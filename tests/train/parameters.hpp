// A small set of parameters of every kind, and copies of its slabs between host and device.
#pragma once
#include <mpi.h>

#include <vector>

#include "comm/groups.hpp"
#include "support/parameters.hpp"

namespace switchyard::test {

inline comm::Groups make_groups(int expert_parallel, int grains = 8) {
  return comm::Groups(comm::Communicator::duplicate(MPI_COMM_WORLD), expert_parallel, grains);
}

/// Expert-parallel degrees that this number of ranks allows.
inline std::vector<int> degrees() {
  int ranks = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  std::vector<int> all;
  for (int d = 1; d <= ranks; ++d)
    if (ranks % d == 0) all.push_back(d);
  return all;
}

/// Embedding with a second source, a norm, a matrix longer than a norm block, and experts: 5 of them, and one alone; in
/// blocks −1, 0 and 1.
inline ParameterSet make_parameters(const Layout& layout) {
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
  ParameterSet set(layout, all);
  set.allocate(1);
  return set;
}

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
