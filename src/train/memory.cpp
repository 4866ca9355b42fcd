#include "train/memory.hpp"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "checkpoint/tensor_files.hpp"
#include "comm/collectives.hpp"
#include "config/moe_layers.hpp"
#include "model/lane.hpp"
#include "moe/even_loads.hpp"
#include "tensor/parameter.hpp"

namespace switchyard::train {
namespace {

using Nodes = std::vector<std::vector<TreeNode>>;

std::int64_t count(const Nodes& nodes) {
  std::int64_t all = 0;
  for (const auto& of : nodes) all += static_cast<std::int64_t>(of.size());
  return all;
}

/// Tree nodes of all ranks, and of all expert-parallel groups.
struct NodeCounts {
  std::int64_t ranks, groups;
};

/// Sizes alone: where the nodes stand does not matter.
std::vector<int> sizes(const std::vector<TreeNode>& nodes) {
  std::vector<int> all;
  for (const TreeNode& node : nodes) all.push_back(node.size);
  return all;
}

/// What ranks must have in common to take the same memory.
using Kind = std::tuple<std::vector<int>, std::vector<int>, std::vector<std::int64_t>, std::vector<std::int64_t>>;

/// Where rows go by nodes, those that this rank has of others after so many legs.
std::int64_t grains_at_stop(int stop, const Layout& lane) {
  std::int64_t grains = 0;
  lane.for_sources(stop, lane.place(), [&](int p) { grains += moe::lane_grains_from(lane, p).size(); });
  return grains;
}

/// Of those parts that the legs of a rank go to and those of others do not, and of its own.
void add_experts_of_legs(const Layout& layout, int experts, std::vector<std::int64_t>& all) {
  for (const Leg& leg : layout.legs()) {
    all.push_back(layout.experts_of_part(leg.width, layout.place() / leg.width, experts).size());
    if (leg.parts.size() * leg.width == layout.expert_parallel) continue;  // all of them
    for (std::int64_t part = leg.parts.first; part < leg.parts.last; ++part)
      all.push_back(layout.experts_of_part(leg.width, static_cast<int>(part), experts).size());
  }
}

Kind kind_of(const Config& config, const Layout& layout) {
  std::vector<std::int64_t> experts;
  for (const MoeLayer& layer : moe_layers(config)) {
    experts.push_back(layout.my_experts(layer.experts).size());
    add_experts_of_legs(layout, layer.experts, experts);
  }
  if (config.layout.zero == 0 && !layout.by_nodes()) std::sort(experts.begin(), experts.end());  // shards are in order
  std::vector<std::int64_t> lanes{layout.my_slots()};  // and of each its grains, and those of the group
  for (Layout of = layout; of.lane < of.lanes; ++of.lane) {
    lanes.push_back(of.group_lane_grains());
    for (int stop = 0; stop <= std::ssize(of.legs()); ++stop) lanes.push_back(grains_at_stop(stop, of));
  }
  return {sizes(layout.my_nodes()), sizes(layout.my_group_nodes()), lanes, experts};
}

/// Buckets are summed one after another, and of each the one slab after the other.
std::int64_t reduction_bytes(const Layout& layout, const NodeCounts& nodes, const ParameterSet& parameters,
                             const std::vector<Range>& buckets) {
  const auto own = [&](Placement p) { return static_cast<std::int64_t>(parameters.nodes(p).size()); };
  std::int64_t max = 0;
  for (const Range& blocks : buckets) {
    for (const Range& part : parameters.parts_of(Placement::replicated, blocks))
      max = std::max(max, comm::sum_elements(part.size(), layout.ranks, nodes.ranks, own(Placement::replicated)));
    for (const Range& part : parameters.parts_of(Placement::expert, blocks))
      max = std::max(max, comm::sum_elements(part.size(), layout.groups(), nodes.groups, own(Placement::expert)));
  }
  return max * static_cast<std::int64_t>(sizeof(float));
}

/// Of one kind of ranks: its bytes but for the moments, and its parameters, which know those of each rank.
struct Measured {
  RankBytes bytes;
  ParameterSet parameters;
};

Measured measure(const Config& config, const Layout& layout, const std::vector<TensorSpec>& tensors,
                 const NodeCounts& nodes) {
  Arena slabs, passes;
  ParameterSet parameters(layout, tensors, nn::branch_of(config), sharded_buckets(config));
  parameters.take(slabs);
  model::SharedRows shared(passes, config, layout, nn::branch_of(config));
  for (Layout of = layout; of.lane < of.lanes; ++of.lane) {
    Arena own;
    const model::Lane lane(own, config, of, shared, config.layout.threads);
    passes.add_all(own);
  }
  RankBytes bytes;
  bytes.parameters = slabs.bytes(Account::parameters);
  bytes.gradients = slabs.bytes(Account::gradients);
  bytes.activations = passes.bytes(Account::activations);
  bytes.expert_rows = passes.bytes(Account::expert_rows);
  bytes.exchange = passes.bytes(Account::exchange);
  bytes.scratch = passes.bytes(Account::scratch);
  bytes.transient = reduction_bytes(layout, nodes, parameters, gradient_buckets(config));
  bytes.base = fixed_base_bytes;
  return {bytes, std::move(parameters)};
}

/// Both moments of what a rank updates.
std::int64_t moment_bytes(const ParameterSet& parameters, const Layout& layout) {
  Index elements = 0;
  for (const auto& [placement, owner] :
       {std::pair(Placement::replicated, layout.rank), std::pair(Placement::expert, layout.group())})
    elements += parameters.moment_elements(placement, owner);
  return 2 * elements * static_cast<std::int64_t>(sizeof(float));
}

/// Of a rank that gathers shards for a checkpoint.
std::int64_t gathered_bytes(const ParameterSet& parameters, const Layout& layout) {
  std::int64_t most = 0;
  if (layout.rank == 0) most = checkpoint::gathered_elements(parameters, Placement::replicated);
  if (layout.group() == 0) most = std::max(most, checkpoint::gathered_elements(parameters, Placement::expert));
  return most * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace

std::vector<RankBytes> rank_bytes(const Config& config, int ranks) {
  Layout layout = layout_of(config, ranks);
  const std::vector<TensorSpec> tensors = architecture(config);
  const NodeCounts nodes{count(layout.nodes_of_ranks()), count(layout.nodes_of_groups())};
  std::map<Kind, Measured> known;
  std::vector<RankBytes> all;
  for (layout.rank = 0; layout.rank < ranks; ++layout.rank) {
    const Kind kind = kind_of(config, layout);
    auto found = known.find(kind);
    if (found == known.end()) found = known.emplace(kind, measure(config, layout, tensors, nodes)).first;
    all.push_back(found->second.bytes);
    all.back().moments = moment_bytes(found->second.parameters, layout);
    all.back().transient += gathered_bytes(found->second.parameters, layout);
  }
  all[0].transient += record_base_bytes;
  return all;
}

}  // namespace switchyard::train
