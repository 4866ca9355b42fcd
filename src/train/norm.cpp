#include "train/norm.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.hpp"
#include "comm/collectives.hpp"
#include "tensor/lanes.hpp"

namespace switchyard::train {
namespace {

constexpr Index block = unit_block;  // what fills a unit up is +0 and adds nothing

/// Σ x² over n elements: element i in lane i mod 16, lanes added in pairs at distance 8, 4, 2, 1.
KOKKOS_INLINE_FUNCTION double square_sum(const float* x, Index n) {
  double lane[lane_count] = {};
  Index i = 0;
  for (; i + lane_count <= n; i += lane_count)
    for (int l = 0; l < lane_count; ++l) {
      const double value = x[i + l];
      lane[l] = Kokkos::fma(value, value, lane[l]);
    }
  for (int l = 0; i + l < n; ++l) lane[l] = Kokkos::fma(double(x[i + l]), double(x[i + l]), lane[l]);
  for (int half = lane_count / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  return lane[0];
}

/// Σ x² of blocks one after another.
void sum_blocks(const Queue& queue, const float* gradient, Index blocks, double* sums) {
  Kokkos::parallel_for(
      "switchyard::norm::blocks", queue.range(blocks),
      KOKKOS_LAMBDA(Index i) { sums[i] = square_sum(gradient + i * block, block); });
}

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
    for (Index u = 0; p.placement == placement && p.adds_to.empty() && u < p.local_units(); ++u) {
      const double* of = memory.host() + (p.offset + u * p.stride) / block;
      double sum = 0.0;
      for (Index b = 0; b < p.stride / block; ++b) sum += of[b];
      units.push_back(sum);
    }
  return units;
}

/// How many units the rank at each place of the expert-parallel group sums.
std::vector<std::int64_t> units_of_places(const Layout& layout, const ParameterSet& parameters) {
  std::vector<std::int64_t> units(layout.expert_parallel, 0);
  for (const Parameter& p : parameters.all())
    for (int place = 0; place < layout.expert_parallel; ++place)
      if (p.placement == Placement::expert && p.adds_to.empty())
        units[place] += layout.experts_of(place, p.experts()).size() * layout.chunks_of(place, p.chunks).size();
  return units;
}

void take(NormResult& result, double& total, double sum, const Parameter& p, int expert) {
  total += sum;
  if (std::isfinite(sum) || result.first_parameter == p.name) return;
  result.first_parameter = p.name;
  result.first_expert = expert;
}

}  // namespace

NormResult gradient_norm(const Queue& queue, const comm::Groups& groups, const ParameterSet& parameters,
                         const Gradients& gradients, Staged<double>& memory) {
  const std::vector<double> replicated = unit_sums(queue, groups, parameters, gradients, Placement::replicated, memory);
  const std::vector<std::int64_t> units = units_of_places(groups.layout, parameters);
  const std::vector<double> experts = comm::all_gather(
      groups.expert, unit_sums(queue, groups, parameters, gradients, Placement::expert, memory), units);
  std::vector<std::int64_t> next(units.size(), 0);  // of each place in `experts`
  std::exclusive_scan(units.begin(), units.end(), next.begin(), std::int64_t{0});
  NormResult result;
  double total = 0.0;
  std::size_t at = 0;
  for (const Parameter& p : parameters.all()) {
    if (!p.adds_to.empty()) continue;
    if (p.placement == Placement::replicated) {
      take(result, total, replicated[at++], p, -1);
      continue;
    }
    for (std::int64_t unit = 0; unit < p.units(); ++unit)  // those of a place ascend
      take(result, total, experts[next[place_of_unit(p, groups.layout, unit)]++], p, static_cast<int>(unit / p.chunks));
  }
  result.norm = std::sqrt(total);
  return result;
}

}  // namespace switchyard::train
