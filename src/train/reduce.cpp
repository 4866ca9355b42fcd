#include "train/reduce.hpp"

#include "base/check.hpp"
#include "comm/collectives.hpp"

namespace switchyard::train {
namespace {

void reduce_slab(const comm::Groups& groups, const ParameterSet& parameters, Placement placement, Vector<float>& sum,
                 Timers& timers) {
  const bool replicated = placement == Placement::replicated;  // else rank g of expert_data is of group g
  const comm::Communicator& comm = replicated ? groups.world : groups.expert_data;
  const Index n = parameters.slab_size(placement);
  sum = parameters.gradient_sum(placement);
  if (comm.size() == 1 && parameters.nodes(placement).size() == 1) return;  // the one node is the sum
  const auto mine = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), parameters.gradients(placement));
  const auto out = Kokkos::create_mirror_view(Kokkos::HostSpace(), sum);
  comm::tree_all_reduce(comm, replicated ? groups.layout.nodes_of_ranks() : groups.layout.nodes_of_groups(),
                        mine.data(), n, out.data(), timers);
  Kokkos::deep_copy(sum, out);
}

void add(float* into, const float* from, Index n) {
  Kokkos::parallel_for(
      "switchyard::reduce::add_source", Kokkos::RangePolicy<Device>(0, n),
      KOKKOS_LAMBDA(Index i) { into[i] += from[i]; });
}

}  // namespace

void reduce_gradients(const comm::Groups& groups, ParameterSet& parameters, Gradients& gradients, Timers& timers) {
  Kokkos::fence("switchyard::reduce::start");  // the kernels of backward have written what MPI reads
  for (const Placement placement : {Placement::replicated, Placement::expert})
    reduce_slab(groups, parameters, placement, gradients.slab[static_cast<int>(placement)], timers);
  for (const Parameter& p : parameters.all()) {
    if (p.adds_to.empty()) continue;
    const int id = parameters.find(p.adds_to);
    expect(id >= 0 && parameters[id].placement == p.placement && parameters[id].span() == p.span(),
           "a source of a gradient of its own shape and placement");
    const Vector<float>& slab = gradients.slab[static_cast<int>(p.placement)];
    add(slab.data() + parameters[id].offset, slab.data() + p.offset, p.span());
  }
  Kokkos::fence("switchyard::reduce::end");
}

}  // namespace switchyard::train
