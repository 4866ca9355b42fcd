#include "plan/prediction.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.hpp"
#include "base/polling.hpp"
#include "config/estimate.hpp"
#include "config/moe_layers.hpp"
#include "plan/work.hpp"
#include "schedule/generators.hpp"

namespace switchyard::plan {
namespace {

using schedule::Direction;
using schedule::Stage;
using schedule::Task;

/// `interval` s between polls, which make computing take 1 + `slowing` times as long. By window these copy the bytes,
/// which takes as long as if a rank waited for them.
WaySpeed speed_of(const std::optional<Way>& way, double interval, double slowing) {
  if (!way) return {};
  if (!way->by_window) return {way->latency, way->bytes_per_s, way->buffer / interval, way->buffer};
  const double share = slowing > 0.0 ? slowing / (1.0 + slowing) : 1.0;  // of the time in which they travel
  return {way->latency, way->bytes_per_s, way->bytes_per_s * share, 0.0};
}

/// With the near way that the configuration's rows take.
Site with_way_of(const Config& config, Site site) {
  const bool by_mpi =
      config.layout.transport == TransportChoice::mpi || config.layout.exchange == ExchangeKind::alltoallv;
  if (by_mpi && site.machine.near_by_mpi) site.machine.near = site.machine.near_by_mpi;
  return site;
}

/// The farther of the ways that a group of neighbouring ranks takes: some group crosses nodes where they do not divide
/// those of a node.
const Way& way_of(const Site& site, int ranks) {
  const bool far = site.nodes > 1 && site.ranks_per_node() % ranks != 0 && site.machine.far;
  return far ? *site.machine.far : site.machine.near.has_value() ? *site.machine.near : *site.machine.far;
}

/// A collective grows with the logarithm of its ranks.
double collective(const Site& site, int ranks) {
  if (ranks <= 1) return 0.0;
  const double measured = std::max(1.0, std::log2(double(site.machine.ranks)));
  return way_of(site, ranks).collective * std::log2(double(ranks)) / measured;
}

/// Seconds of a look after what is under way: rows in an expert-parallel group, else gradients.
double look_of(const Layout& layout, const Site& site) {
  if (layout.ranks == 1) return 0.0;
  return way_of(site, layout.expert_parallel > 1 ? layout.expert_parallel : layout.ranks).poll;
}

/// Where a run measures it, that at which the machine's polls were measured: most of what they take is copies, which
/// another pace does not save.
double interval_of(const Config& config) {
  return config.layout.poll > 0.0 ? std::max(config.layout.poll, 1.0) * 1e-6 : Pace::before_looks;
}

/// It takes so long of each interval.
double slowing_of(const Config& config, const Layout& layout, const Site& site) {
  return look_of(layout, site) / interval_of(config);
}

/// A step under way.
class Step {
 public:
  Step(const Config& config, const Layout& layout, const Site& site, double load)
      : config_(config),
        site_(site),
        layout_(layout),
        work_(config, layout, load),
        traffic_(config, layout, site.ranks_per_node(), load),
        slowing_(slowing_of(config, layout, site)),
        simulation_(speed_of(site.machine.near, interval_of(config), slowing_),
                    speed_of(site.machine.far, interval_of(config), slowing_), slowing_),
        numbers_(config.layout.lanes, -1),
        under_way_(config.layout.lanes, -1) {}

  Prediction run() {
    for (const Task& task : schedule::make_tasks(config_)) {
      const double before = simulation_.seconds().step;
      perform(task);
      all_.phases[static_cast<std::size_t>(schedule::phase_of(task.stage))] += simulation_.seconds().step - before;
      all_.flop += work_.of(task).flop();
    }
    all_.seconds = simulation_.seconds();
    all_.rows = traffic_.rows_of_step();
    return all_;
  }

 private:
  void perform(const Task& task);
  void tell(const Task& task);
  void leave(const Task& task);
  void arrive(const Task& task);
  void begin_sum(const Bytes& bytes);
  void wait_for(const Bytes& bytes) { simulation_.wait(simulation_.start(bytes.near, bytes.far)); }
  Hops hops(const Task& task, bool out) const {
    const MoeLayer layer{task.block, config_.block_experts(task.block)};
    return out ? traffic_.rows_out(task.lane, layer) : traffic_.rows_home(task.lane, layer);
  }

  const Config& config_;
  const Site& site_;
  Layout layout_;
  Workload work_;
  Traffic traffic_;
  double slowing_;
  Simulation simulation_;
  std::vector<int> numbers_;    ///< of each lane, which its plan told
  std::vector<int> under_way_;  ///< journey of each lane
  std::vector<int> sums_;       ///< journeys of gradients, and of values from their owners
  Prediction all_;
};

/// Numbers of rows go ahead of them; inside a node ranks wait for theirs.
void Step::tell(const Task& task) {
  if (layout_.expert_parallel == 1) return;
  const Bytes bytes = traffic_.numbers(task.lane, {task.block, config_.block_experts(task.block)});
  numbers_[task.lane] = simulation_.start(bytes.near, bytes.far);
  if (config_.layout.exchange == ExchangeKind::alltoallv) simulation_.wait(numbers_[task.lane]);
}

/// Rows on their way to experts leave at once; those on their way home come from the ranks of the node first.
void Step::leave(const Task& task) {
  const bool out = (task.stage == Stage::dispatch) == (task.direction == Direction::forward);
  const Hops way = hops(task, out);
  if (!out) wait_for(way.near);
  under_way_[task.lane] = simulation_.start(way.first.near, way.first.far);
  if (config_.layout.exchange == ExchangeKind::alltoallv) simulation_.wait(under_way_[task.lane]);
}

void Step::arrive(const Task& task) {
  const bool out = (task.stage == Stage::dispatch_finish) == (task.direction == Direction::forward);
  const bool forward = task.direction == Direction::forward;
  if (out && forward && layout_.expert_parallel > 1) simulation_.wait(numbers_[task.lane]);
  if (out && forward && layout_.by_nodes() && layout_.legs().front().width > 1)
    simulation_.meet(collective(site_, layout_.node_places));  // numbers, waited for
  simulation_.wait(under_way_[task.lane]);
  if (out) wait_for(hops(task, out).near);
}

void Step::begin_sum(const Bytes& bytes) {
  all_.sums += bytes;
  sums_.push_back(simulation_.start(bytes.near, bytes.far));
}

void Step::perform(const Task& task) {
  const double seconds = work_.seconds(task, site_.machine);
  switch (task.stage) {
    case Stage::dispatch_finish:
    case Stage::combine_finish:
      arrive(task);
      return simulation_.compute(seconds);
    case Stage::dispatch:
    case Stage::combine:
      simulation_.compute(seconds);
      return leave(task);
    case Stage::plan:
      simulation_.compute(seconds);
      return tell(task);
    case Stage::statistics:
      return simulation_.meet(2.0 * collective(site_, site_.ranks));
    case Stage::reduce:
      for (const Range& bucket : gradient_buckets(config_)) {
        if (bucket.first != task.block) continue;
        begin_sum(traffic_.sums_to_owners(bucket));
        if (config_.layout.zero == 0) begin_sum(traffic_.owners_to_all(bucket));
      }
      return;
    case Stage::reduce_finish:
      for (const int journey : sums_) simulation_.wait(journey);
      return;
    case Stage::gather:
      begin_sum(traffic_.owners_to_all(all_blocks));
      return simulation_.wait(sums_.back());
    default:
      simulation_.compute(seconds);
  }
}

}  // namespace

std::string lacking(const Site& site) {
  if (site.nodes > 1 && !site.machine.far)
    return "the machine description has no far way (it was measured on one node), but there are " +
           std::to_string(site.nodes) + " nodes";
  if (site.ranks_per_node() > 1 && !site.machine.near)
    return "the machine description has no near way (it was measured with one rank a node), but there are " +
           std::to_string(site.ranks_per_node()) + " ranks a node";
  return "";
}

void require_site(const Site& site) {
  const std::string ranks = std::to_string(site.ranks), nodes = std::to_string(site.nodes);
  check(site.ranks % site.nodes == 0, Exit::usage,
        "--nodes is " + nodes + ", which does not divide --ranks " + ranks + " (nodes have equally many ranks)");
  const std::string lacks = lacking(site);
  check(lacks.empty(), Exit::usage,
        lacks + (site.nodes > 1 && !site.machine.far ? "; give --network GBIT,MICROSECONDS, or measure on several nodes"
                                                     : "; measure with several"));
}

Config at_site(const Config& config, const Site& site) {
  Config there = config;
  there.layout.ranks_per_node = site.ranks_per_node();
  return there;
}

Prediction predict(const Config& config, const Site& site, double load) {
  require_site(site);
  const Config there = at_site(config, site);
  const Site taken = with_way_of(config, site);
  return Step(there, layout_of(there, site.ranks), taken, load).run();
}

Hiding hiding(const Config& config, const Site& given) {
  require_site(given);
  const Site site = with_way_of(config, given);
  const Config there = at_site(config, site);
  const Layout layout = layout_of(there, site.ranks);
  Hiding h;
  h.flop_per_byte = h.straight = std::numeric_limits<double>::infinity();
  if (layout.expert_parallel == 1 || moe_layers(there).empty()) return h;
  const Workload work(there, layout);
  const Traffic traffic(there, layout, site.ranks_per_node());
  double flop = 0.0, seconds = 0.0;
  Bytes rows;
  for (const Task& task : schedule::make_tasks(there)) {
    const bool here = task.stage == Stage::experts_here;  // of the same rows as a later task
    if ((task.stage != Stage::experts && !here) || task.direction != Direction::forward) continue;
    flop += work.of(task).flop(), seconds += work.of(task).product_seconds(site.machine.products);
    if (here) continue;
    for (const Hops& hops : {traffic.rows_out(task.lane, {task.block, there.block_experts(task.block)}),
                             traffic.rows_home(task.lane, {task.block, there.block_experts(task.block)})})
      rows += hops.first, rows += hops.near;
  }
  const bool far = rows.far > 0.0;
  const int share = far ? site.ranks_per_node() : 1;  // of a node's link
  h.flop_per_s = flop / seconds;
  h.bytes_per_s = (far ? site.machine.far->bytes_per_s : site.machine.near->bytes_per_s) / share;
  h.flop_per_byte = flop / (far ? rows.far / share : rows.near);
  const int per_node = site.ranks_per_node(), nodes_of_group = (layout.expert_parallel + per_node - 1) / per_node;
  const int parts = far ? std::max(2, nodes_of_group) : layout.expert_parallel;
  h.straight = flop_per_byte(there.model.activation == Activation::swiglu ? 3 : 2,
                             double(there.moe.hidden) / layout.expert_tensor_parallel, element_bytes(there), parts);
  return h;
}

}  // namespace switchyard::plan
