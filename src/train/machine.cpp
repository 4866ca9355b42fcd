#include "train/machine.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "comm/agree.hpp"
#include "config/values.hpp"

namespace switchyard::train {
namespace {

/// Groups may differ in what they can have; all ranks end alike.
std::unique_ptr<comm::Exchange> agreed_exchange(const LayoutConfig& layout, const comm::Groups& groups) {
  std::unique_ptr<comm::Exchange> made;
  comm::agree(groups.world, [&] { made = comm::make_exchange(layout, groups.expert); });
  return made;
}

}  // namespace

std::string exchange_text(const Machine& machine) {
  const LayoutConfig& layout = machine.config.layout;
  const comm::Picked picked = machine.exchange->picked();
  const bool first = machine.groups.expert.rank() == 0;  // one of a group tells
  std::int64_t pairs[2] = {first ? picked.by_window : 0, first ? picked.by_mpi : 0};
  comm::all_reduce_sum(machine.groups.world, pairs, 2);
  if (layout.exchange == ExchangeKind::alltoallv) return "exchange=alltoallv, by MPI's own transports";
  std::string text = "exchange=" + format_value(layout.exchange) + " transport=" + format_value(layout.transport);
  if (pairs[0] + pairs[1] == 0) return text + ": no pairs of ranks";
  text += ": pairs of ranks by window " + std::to_string(pairs[0]);
  if (pairs[0] && layout.transport == TransportChoice::auto_)
    text += " (messages up to " + std::to_string(comm::longest_by_window >> 10) + " KiB, longer ones by mpi)";
  return text + ", by mpi " + std::to_string(pairs[1]);
}

std::string exchange_note(const Machine& machine) {
  for (const std::string& note : comm::all_gather(machine.groups.world, machine.exchange->picked().note))
    if (!note.empty()) return note;
  return "";
}

Machine::Machine(const Config& resolved, comm::Communicator world)
    : config(resolved),
      groups(std::move(world), config.layout.expert_parallel, config.train.grains, config.train.determinism,
             config.layout.lanes),
      exchange(agreed_exchange(config.layout, groups)),
      parameters(groups.layout, architecture(config)),
      buckets(gradient_buckets(config)),
      tasks(schedule::make_tasks(config)) {
  const std::string fault = schedule::fault_in(tasks);
  check(fault.empty(), Exit::internal, fault);
  model = std::make_unique<model::Transformer>(moe::LayerContext{config, groups, *exchange, parameters, timers});
  int last = 0;
  for (const schedule::Task& task : tasks) last = std::max(last, task.queue);
  for (int number = 0; number <= last; ++number) queues.emplace_back(number);
  parameters.allocate(queue(), config.train.seed);
}

const Range& Machine::bucket_from(int block) const {
  const auto found =
      std::find_if(buckets.begin(), buckets.end(), [block](const Range& bucket) { return bucket.first == block; });
  expect(found != buckets.end(), "a bucket of gradients that begins with this block");
  return *found;
}

}  // namespace switchyard::train
