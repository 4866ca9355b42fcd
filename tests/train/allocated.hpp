// What a machine and its first step ask Kokkos for, against what check predicts.
#pragma once
#include <gtest/gtest.h>

#include <Kokkos_Core.hpp>
#include <algorithm>
#include <string>

#include "moe/plan.hpp"
#include "support/world.hpp"
#include "train/memory.hpp"
#include "train/step.hpp"
#include "train/synthetic.hpp"

namespace switchyard::train {

inline std::int64_t allocated;  // bytes, by Kokkos

/// Counts what is allocated as long as it lives, and what of it is still there.
struct Counted {
  Counted() {
    allocated = 0;
    Kokkos::Tools::Experimental::set_allocate_data_callback(
        [](const Kokkos_Profiling_SpaceHandle, const char*, const void*, std::uint64_t bytes) {
          allocated += static_cast<std::int64_t>(bytes);
        });
    Kokkos::Tools::Experimental::set_deallocate_data_callback(
        [](const Kokkos_Profiling_SpaceHandle, const char*, const void*, std::uint64_t bytes) {
          allocated -= static_cast<std::int64_t>(bytes);
        });
  }
  ~Counted() {
    Kokkos::Tools::Experimental::set_allocate_data_callback(nullptr);
    Kokkos::Tools::Experimental::set_deallocate_data_callback(nullptr);
  }
};

/// How much more than at even loads the rooms of a layer may have, at most: they begin a sixteenth larger, and grow by
/// an eighth more than is asked for (tensor/room.hpp).
inline double growth(Machine& machine) {
  double most = 1.0 + 1.0 / 16;
  for (const moe::Layer* layer : machine.model->moe_layers()) {
    const moe::LayerStatistics& found = layer->statistics();
    const Layout& layout = machine.groups.layout;
    const Range mine = layout.my_experts(layer->experts());
    std::int64_t rows = 0, even = 0;
    for (std::int64_t seat = mine.first; seat < mine.last; ++seat)
      rows += found.kept[layout.expert_at(found.block, seat)];
    for (Layout of = layout; of.lane < of.lanes; ++of.lane)
      even += moe::even_expert_rows(machine.config, of, layer->experts());
    if (even > 0) most = std::max(most, 1.125 * static_cast<double>(rows) / static_cast<double>(even));
  }
  return most;
}

/// What the slabs of both moments have.
inline std::int64_t moment_bytes(const ParameterSet& parameters) {
  std::size_t floats = 0;
  for (const Placement p : {Placement::replicated, Placement::expert})
    floats += parameters.first_moments(p).size() + parameters.second_moments(p).size();
  return 4 * static_cast<std::int64_t>(floats);
}

/// And of all gradients.
inline std::int64_t gradient_bytes(const Machine& machine) {
  const Layout& layout = machine.groups.layout;
  const std::size_t sums[] = {static_cast<std::size_t>(layout.my_slots()), layout.my_group_nodes().size()};
  std::int64_t bytes = 0;
  for (const Placement p : {Placement::replicated, Placement::expert})
    bytes += 4 * machine.parameters.slab_size(p) *
             static_cast<std::int64_t>(std::max<std::size_t>(1, sums[static_cast<int>(p)]));
  return bytes;
}

/// Bytes of a rank.
struct Compared {
  double measured, predicted;
  double uneven;  ///< of the predicted: those of rooms, whose rows are those of even loads
  double growth;
};

/// Trains a step of `config` on the ranks of the world. Slabs must be as predicted to the byte; `name`: of the case.
inline Compared compare(const Config& config, const std::string& name) {
  const Counted counted;
  Machine machine(config, comm::Communicator::duplicate(MPI_COMM_WORLD));
  train_step(machine, synthetic_batch(config, machine.groups.layout, 1), 1);
  const Layout& layout = machine.groups.layout;
  const RankBytes predicted = rank_bytes(config, layout.ranks).at(layout.rank);
  EXPECT_EQ(gradient_bytes(machine), predicted.gradients) << name;
  EXPECT_EQ(moment_bytes(machine.parameters), predicted.moments) << name;
  const std::int64_t rooms = predicted.expert_rows + predicted.exchange,
                     all = predicted.parameters + predicted.moments + predicted.gradients + predicted.activations +
                           rooms + predicted.scratch;
  return {static_cast<double>(allocated), static_cast<double>(all),
          layout.expert_parallel > 1 ? static_cast<double>(rooms) : 0.0, growth(machine)};
}

}  // namespace switchyard::train
