#include "train/machine.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "config/values.hpp"
#include "moe/even_loads.hpp"
#include "train/captured.hpp"

namespace switchyard::train {
namespace {

Pace pace_of(const LayoutConfig& layout) { return layout.poll > 0.0 ? Pace(layout.poll * 1e-6) : Pace(); }

/// On a GPU rows are staged through the host: `auto` leaves them to MPI there.
LayoutConfig exchange_layout(LayoutConfig layout) {
  if (!on_host && layout.transport == TransportChoice::auto_) layout.transport = TransportChoice::mpi;
  return layout;
}

/// "; pairs of ranks: 3 by window, 0 by mpi (layout.transport auto)", and why.
std::string transports_text(const LayoutConfig& layout, const comm::Picked& picked) {
  if (layout.exchange == ExchangeKind::alltoallv) return "";
  return "; pairs of ranks: " + std::to_string(picked.by_window) + " by window, " + std::to_string(picked.by_mpi) +
         " by mpi (layout.transport " + format_value(layout.transport) +
         (picked.note.empty() ? std::string(")") : "; " + picked.note + ")");
}

}  // namespace

Machine::Machine(const Config& resolved, comm::Communicator world)
    : config(resolved),
      groups(std::move(world), config.layout, config.train.grains, config.train.determinism),
      exchanges(exchange_layout(config.layout), groups),
      pace(pace_of(config.layout)),
      parameters(groups.layout, architecture(config), nn::branch_of(config), sharded_buckets(config)),
      optimizer(parameters),
      buckets(gradient_buckets(config)),
      tasks(schedule::make_tasks(config)),
      captures(train::captures(config, groups.world.size())) {
  const std::string no_graph = fault_of_capture(config, groups.world.size());
  check(config.train.graph != GraphChoice::on || no_graph.empty(), Exit::usage,
        "train.graph is on, but " + no_graph + "; set it to auto or off");
  expect(config.layout.lanes > 0, "a number of lanes (choose_lanes)");
  const std::string fault = schedule::fault_in(tasks);
  check(fault.empty(), Exit::internal, fault);
  model = std::make_unique<model::Transformer>(moe::LayerContext{config, groups, exchanges, parameters, timers});
  int last = 0;
  for (const schedule::Task& task : tasks) last = std::max(last, task.queue);
  for (int number = 0; number <= last; ++number) queues.emplace_back(number);
  if (captures) queues.front().open_beside();
  parameters.allocate(queue(), config.train.seed);
}

namespace {

/// Over a leg.
std::string way_home(const Config& config, const Layout& layout, const Leg& leg) {
  if (sums_on(config, layout, leg)) return "as sums of moe.combine_groups";
  Layout in_order = layout;
  in_order.seats = nullptr;
  if (!sums_on(config, in_order, leg)) return "one by one (see moe.combine_groups)";
  return std::string("one by one (layout.placement moves experts between ") + (leg.rail ? "nodes)" : "ranks)");
}

}  // namespace

std::string Machine::way() const {
  const Layout& layout = groups.layout;
  const std::string where = std::to_string(groups.nodes.count()) + " node(s) of " + std::to_string(layout.ranks) +
                            " rank(s)" + (config.layout.ranks_per_node > 0 ? ", as layout.ranks_per_node says" : "") +
                            transports_text(config.layout, exchanges.picked);
  if (!layout.by_nodes())
    return "rows go straight to the rank of their expert (" + format_value(config.layout.exchange) + "); " + where;
  const std::vector<Leg> legs = layout.legs();
  std::string how = way_home(config, layout, legs.front());
  if (const std::string inside = way_home(config, layout, legs.back()); inside != how)
    how += " between nodes, inside them " + inside;
  if (!layout.gathered)
    return "rows go by nodes, " + std::to_string(layout.expert_parallel / layout.node_places) + " with " +
           std::to_string(layout.node_places) + " rank(s) each of an expert-parallel group, and home " + how + "; " +
           where;
  const std::string first = legs.size() > 1 ? "each node with experts of their choices, there once to " : "";
  return "tokens go once to " + first + "each rank that holds experts of their choices (gather), and home " + how +
         "; " + where;
}

const Range& Machine::bucket_from(int block) const {
  const auto found =
      std::find_if(buckets.begin(), buckets.end(), [block](const Range& bucket) { return bucket.first == block; });
  expect(found != buckets.end(), "a bucket of gradients that begins with this block");
  return *found;
}

}  // namespace switchyard::train
