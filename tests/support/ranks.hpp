// The ranks of a test as a machine: what a model, or a part of one, has around it.
#pragma once
#include <memory>
#include <utility>
#include <vector>

#include "comm/collectives.hpp"
#include "comm/exchange.hpp"
#include "comm/groups.hpp"
#include "moe/layer.hpp"
#include "nn/rows.hpp"
#include "support/parameters.hpp"
#include "support/queue.hpp"
#include "support/world.hpp"

namespace switchyard::test {

struct Ranks {
  /// Collective over `ranks`: MPI_COMM_WORLD, or MPI_COMM_SELF for a rank alone. `expert_parallel` 0 means all of them.
  /// The parameters have the values of train.seed; their moments are sharded where there are buckets.
  Ranks(Config c, MPI_Comm ranks, int expert_parallel, const std::vector<TensorSpec>& tensors,
        const std::vector<Range>& sharded = {})
      : config(std::move(c)),
        groups(comm::Communicator::duplicate(ranks), options(expert_parallel), config.train.grains,
               config.train.determinism),
        exchanges(config.layout, groups),
        parameters(groups.layout, tensors, nn::branch_of(config), sharded) {
    parameters.allocate(test::queue(), config.train.seed);
  }
  Ranks(const Ranks&) = delete;

  moe::LayerContext context() { return {config, groups, exchanges, parameters, timers}; }

  /// This rank's part of the global batch.
  Range sequences() const {
    const Range grains = groups.layout.my_grains();
    return {grains.first * config.grain_sequences(), grains.last * config.grain_sequences()};
  }
  Range rows() const { return {sequences().first * config.model.context, sequences().last * config.model.context}; }
  /// As a layer knows it, where token r of the global batch has the id id_of(r).
  template <class F>
  moe::TokenSet token_set(moe::Pass pass, std::int64_t step, const F& id_of) const {
    const HostVector<std::int32_t> ids("ids", rows().size());
    for (std::int64_t r = rows().first; r < rows().last; ++r)
      ids(r - rows().first) = static_cast<std::int32_t>(id_of(r));
    return {pass,
            step,
            config.model.context,
            sequences(),
            config.grain_sequences(),
            Kokkos::create_mirror_view_and_copy(Device::memory_space{}, ids)};
  }

  /// The gradients of a placement's slab, summed along the tree over the grains of the global batch.
  std::vector<float> gradient_sum(Placement placement) {
    const bool expert = placement == Placement::expert;
    const std::vector<float> mine = host_values(parameters.gradients(placement));
    std::vector<float> sum(parameters.slab_size(placement));
    comm::SumMemory memory;
    comm::tree_all_reduce(expert ? groups.expert_data : groups.world,
                          expert ? groups.layout.nodes_of_groups() : groups.layout.nodes_of_ranks(),
                          {mine.data(), parameters.slab_size(placement), parameters.slab_size(placement), sum.data()},
                          memory, timers);
    return sum;
  }

  Config config;
  comm::Groups groups;
  comm::Exchanges exchanges;
  ParameterSet parameters;
  Timers timers;

 private:
  LayoutConfig options(int expert_parallel) const {
    LayoutConfig own = config.layout;
    own.expert_parallel = expert_parallel;
    return own;
  }
};

}  // namespace switchyard::test
