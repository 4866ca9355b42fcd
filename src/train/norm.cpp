#include "train/norm.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.hpp"
#include "comm/collectives.hpp"
#include "train/norm_sums.hpp"

namespace switchyard::train {
namespace {

constexpr Index block = unit_block;  // what fills a unit up is +0 and adds nothing

/// `sums` of the blocks of a slab, where this rank has those in its shard, of all of them: from their owners.
void gather_blocks(const comm::Communicator& owners, const ParameterSet& parameters, Placement placement,
                   double* sums) {
  std::vector<std::int64_t> counts;
  for (int owner = 0; owner < owners.size(); ++owner)
    counts.push_back(elements_of(parameters.shard_of(placement, owner)) / block);
  std::vector<double> mine;
  for (const Piece& piece : parameters.shard(placement))
    mine.insert(mine.end(), sums + piece.elements.first / block, sums + piece.elements.last / block);
  const std::vector<double> all = comm::all_gather(owners, mine, counts);
  auto from = all.begin();
  for (int owner = 0; owner < owners.size(); ++owner)
    for (const Piece& piece : parameters.shard_of(placement, owner)) {
      const Index n = piece.elements.size() / block;
      std::copy(from, from + n, sums + piece.elements.first / block);
      from += n;
    }
}

/// Σ x² of each local unit, parameters of one placement in order of declaration.
std::vector<double> unit_sums(const Queue& queue, const comm::Groups& groups, const ParameterSet& parameters,
                              const Gradients& gradients, Placement placement, Staged<double>& memory) {
  const Index blocks = parameters.slab_size(placement) / block;
  memory.reserve(blocks);
  for (const Piece& piece : parameters.shard(placement))
    sum_blocks(queue, gradients.slab[static_cast<int>(placement)].data() + piece.elements.first,
               piece.elements.size() / block, memory.device() + piece.elements.first / block);
  memory.to_host(queue, blocks);
  queue.fence("switchyard::norm::sums");
  const comm::Communicator& owners = placement == Placement::replicated ? groups.world : groups.expert_data;
  if (parameters.sharded() && owners.size() > 1) gather_blocks(owners, parameters, placement, memory.host());
  std::vector<double> units;
  for (const Parameter& p : parameters.all())
    for (Index u = 0; p.placement == placement && p.updated() && u < p.local_units(); ++u) {
      const double* of = memory.host() + (p.offset + u * p.stride) / block;
      units.push_back(ordered_sum({of, of + p.stride / block}));
    }
  return units;
}

/// How many units the rank at each place of the expert-parallel group sums.
std::vector<std::int64_t> units_of_places(const Layout& layout, const ParameterSet& parameters) {
  std::vector<std::int64_t> units(layout.expert_parallel, 0);
  for (const Parameter& p : parameters.all())
    for (int place = 0; place < layout.expert_parallel; ++place)
      if (p.placement == Placement::expert && p.updated())
        units[place] += layout.experts_of(place, p.experts()).size() * layout.chunks_of(place, p.chunks).size();
  return units;
}

/// A unit that is not finite: the last parameter that has one counts, and its first.
void look_at(NormResult& result, double sum, const Parameter& p, int expert) {
  if (std::isfinite(sum) || result.first_parameter == p.name) return;
  result.first_parameter = p.name;
  result.first_expert = expert;
}

/// Of the sums of all units of all parameters, in order of declaration.
NormResult result_of(const ParameterSet& parameters, const std::vector<double>& sums) {
  NormResult result;
  std::size_t at = 0;
  for (const Parameter& p : parameters.all()) {
    if (!p.updated()) continue;
    const std::int64_t units = p.placement == Placement::replicated ? 1 : p.units();
    for (std::int64_t unit = 0; unit < units; ++unit)
      look_at(result, sums[at++], p, p.placement == Placement::replicated ? -1 : static_cast<int>(unit / p.chunks));
  }
  result.norm = std::sqrt(ordered_sum(sums));
  return result;
}

}  // namespace

bool norm_on_device(const comm::Groups& groups, const ParameterSet& parameters) {
  return !on_host && groups.world.size() == 1 && !parameters.sharded();
}

NormResult finish_norm(const Queue& queue, const ParameterSet& parameters, NormMemory& memory) {
  const NormState state = memory.read(0);
  NormResult result;
  result.norm = std::sqrt(state.total);
  if (state.finite) return result;
  const Index blocks = static_cast<Index>(memory.blocks.extent(0)), units = static_cast<Index>(memory.units.extent(0));
  memory.sums.to_host(queue, blocks + units);
  queue.fence("switchyard::norm::units");
  const double* of_unit = memory.sums.host() + blocks;
  return result_of(parameters, {of_unit, of_unit + units});
}

NormResult gradient_norm(const Queue& queue, const comm::Groups& groups, const ParameterSet& parameters,
                         const Gradients& gradients, NormMemory& memory) {
  if (norm_on_device(groups, parameters)) {
    begin_norm(queue, parameters, gradients, 0.0, memory);
    queue.fence("switchyard::norm::state");
    return finish_norm(queue, parameters, memory);
  }
  const std::vector<double> replicated =
      unit_sums(queue, groups, parameters, gradients, Placement::replicated, memory.sums);
  const std::vector<std::int64_t> units = units_of_places(groups.layout, parameters);
  const std::vector<double> experts = comm::all_gather(
      groups.expert, unit_sums(queue, groups, parameters, gradients, Placement::expert, memory.sums), units);
  std::vector<std::int64_t> next(units.size(), 0);  // of each place in `experts`
  std::exclusive_scan(units.begin(), units.end(), next.begin(), std::int64_t{0});
  std::vector<double> sums;
  std::size_t at = 0;
  for (const Parameter& p : parameters.all()) {
    if (!p.updated()) continue;
    if (p.placement == Placement::replicated) {
      sums.push_back(replicated[at++]);
      continue;
    }
    for (std::int64_t unit = 0; unit < p.units(); ++unit)  // those of a place ascend
      sums.push_back(experts[next[place_of_unit(p, groups.layout, unit)]++]);
  }
  return result_of(parameters, sums);
}

}  // namespace switchyard::train
