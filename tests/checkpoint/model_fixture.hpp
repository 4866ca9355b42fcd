// A parameter set with known values, on a part of the ranks: what checkpoint tests save and load.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.hpp"
#include "support/placement.hpp"
#include "support/ranks.hpp"

namespace fixtures {

using namespace switchyard;

/// Two blocks of experts (E of them, and 3), dense tensors, and a second source of the embedding's gradient.
inline std::vector<TensorSpec> tensors_of(int experts) {
  std::vector<TensorSpec> tensors;
  const auto declare = [&tensors](const char* name, int block, std::vector<std::int64_t> shape, Placement placement,
                                  const char* adds_to = "") {
    tensors.push_back(test::tensor(name, std::move(shape), placement));
    tensors.back().block = block, tensors.back().adds_to = adds_to;
  };
  declare("embedding", -1, {40, 6}, Placement::replicated);
  declare("blocks.1.norm", 1, {6}, Placement::replicated);
  declare("blocks.1.moe.experts.up", 1, {experts, 5, 3}, Placement::expert);
  declare("blocks.1.moe.experts.down", 1, {experts, 4}, Placement::expert);
  declare("blocks.3.moe.experts.up", 3, {3, 7}, Placement::expert);
  declare("head", 4, {40, 6}, Placement::replicated, "embedding");
  return tensors;
}

/// And one dense and one expert tensor whose shards end inside of rows and of experts.
inline std::vector<TensorSpec> long_tensors_of(int experts) {
  std::vector<TensorSpec> tensors = tensors_of(experts),
                          more{test::tensor("table", {23, 700}),
                               test::tensor("blocks.1.moe.experts.gate", {experts, 90, 100}, Placement::expert)};
  for (TensorSpec& t : more) t.block = 1;
  tensors.insert(tensors.begin() + 2, more.begin(), more.end());  // among those of their block
  return tensors;
}

/// And every expert in four chunks, which up to four ranks may share.
inline std::vector<TensorSpec> tensors_in_chunks_of(int experts) {
  std::vector<TensorSpec> tensors = long_tensors_of(experts);
  for (TensorSpec& t : tensors)
    if (t.placement == Placement::expert) t.chunks = 4, t.shape[0] *= t.chunks;
  return tensors;
}

/// Ranks [0, size) of the world as a run of their own, with shards or without, experts placed at random by a seed or
/// not (0), each shared by a team of ranks; other ranks get none.
inline std::unique_ptr<test::Ranks> ranks_of(int size, int expert_parallel, const std::vector<TensorSpec>& tensors,
                                             bool sharded = false, unsigned placed = 0, int team = 1) {
  const comm::Communicator world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  const comm::Communicator part = world.split(world.rank() < size ? 0 : 1, world.rank());
  if (world.rank() >= size) return nullptr;
  Config config;
  config.train.grains = 4;
  config.model.blocks = 4, config.moe.experts_per_block = {0, 1, 0, 3};
  for (const TensorSpec& t : tensors)
    if (t.placement == Placement::expert) config.moe.experts_per_block[t.block] = t.experts();
  config.layout.expert_tensor_parallel = team;
  if (placed > 0) test::place_at_random(config, placed);
  return std::make_unique<test::Ranks>(config, part.handle(), expert_parallel, tensors,
                                       sharded ? std::vector<Range>{{2, 5}, {-1, 2}} : std::vector<Range>{});
}
inline std::unique_ptr<test::Ranks> ranks_of(int size, int expert_parallel, int experts) {
  return ranks_of(size, expert_parallel, tensors_of(experts));
}

/// Value of one element, by global ids: what no layout may change.
inline float element(int id, int kind, Index unit, Index i) {
  return static_cast<float>(((id * 3 + kind) * 1009 + unit) * 37 + i) * 0.125f;
}

/// Calls visit(element on the host, its expected value) for all that this rank keeps.
template <class Visit>
void for_each_element(ParameterSet& set, Visit visit) {
  for (int kind = 0; kind < 3; ++kind) {
    for (const Placement placement : {Placement::replicated, Placement::expert}) {
      const Vector<float> slab = kind == 0   ? set.values(placement)
                                 : kind == 1 ? set.first_moments(placement)
                                             : set.second_moments(placement);
      const HostVector<float> host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), slab);
      for (const Parameter& p : set.all()) {
        if (p.placement != placement || !p.adds_to.empty()) continue;
        for (Index u = 0; u < p.local_units(); ++u)
          for (Index i = 0; i < p.unit; ++i) {
            const Index at = p.offset + u * p.stride + i;
            const Piece* piece = kind > 0 ? test::piece_with(set, placement, at) : nullptr;
            if (kind == 0 || piece)
              visit(host(piece ? piece->at + at - piece->elements.first : at), element(p.id, kind, p.held[u], i));
          }
      }
      Kokkos::deep_copy(slab, host);
    }
  }
}

inline void fill(ParameterSet& set) {
  for_each_element(set, [](float& value, float expected) { value = expected; });
}

inline std::int64_t count_differences(ParameterSet& set) {
  std::int64_t wrong = 0;
  for_each_element(set, [&wrong](float value, float expected) { wrong += value != expected; });
  return wrong;
}

inline checkpoint::TrainState state_of(std::int64_t step) {
  return {step, step * 32, {{0.1f, -0.25f, 1e-9f}, {0.0f}}, "corpus", ""};
}

}  // namespace fixtures
