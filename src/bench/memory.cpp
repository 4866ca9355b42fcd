#include "bench/memory.hpp"

#include <algorithm>
#include <cstdio>

#include "bench/allocations.hpp"
#include "bench/json_lines.hpp"
#include "comm/agree.hpp"
#include "config/lane_choice.hpp"
#include "train/choose_lanes.hpp"
#include "train/memory.hpp"
#include "train/step.hpp"
#include "train/synthetic.hpp"

namespace switchyard::bench {
namespace {

using Report = nlohmann::ordered_json;

constexpr const char* slabs_label = "parameters::slabs";

/// What `check` says of a rank, by account.
Report predicted(const RankBytes& bytes) {
  return {{"parameters", bytes.parameters},
          {"moments", bytes.moments},
          {"gradients", bytes.gradients},
          {"activations", bytes.activations},
          {"expert_rows", bytes.expert_rows},
          {"exchange", bytes.exchange},
          {"scratch", bytes.scratch},
          {"transient", bytes.transient},
          {"base", bytes.base},
          {"total", bytes.total()}};
}

/// Those of the device, the largest first.
Report labels_of(const Allocations& all) {
  std::vector<std::pair<std::int64_t, std::string>> found;
  for (const auto& [label, taken] : all.by_label())
    if (taken.most > 0) found.emplace_back(taken.most, label.space + " " + label.name);
  std::sort(found.rbegin(), found.rend());
  Report j = Report::object();
  for (const auto& [bytes, name] : found) j[name] = bytes;
  return j;
}

/// `others`: of the device, what are no slabs, at their most.
Report report_of(const Config& config, int rank, int ranks, const Allocations& all) {
  const std::string space = Device::memory_space::name();
  const auto found = all.by_label().find({space, slabs_label});
  const std::int64_t slabs = found == all.by_label().end() ? 0 : found->second.most;
  Report j{{"what", "memory"}, {"rank", rank}, {"ranks", ranks}, {"lanes", config.layout.lanes}};
  j["predicted"] = predicted(train::rank_bytes(config, ranks).at(rank));
  j["slabs"] = slabs, j["others"] = all.device().most - slabs, j["most"] = all.device().most;
  j["in_use"] = memory_in_use();
  j["stages"] = Report::object();
  for (const Allocations::Stage& stage : all.stages()) j["stages"][stage.name] = stage.taken;
  j["labels"] = labels_of(all);
  return j;
}

double mebi(const Report& j, const char* key) { return double(j.at(key).get<std::int64_t>()) / (1 << 20); }

/// Accounts, and below them what was allocated for all of them.
void print_group(const Report& of, std::initializer_list<const char*> accounts, const char* name, double taken) {
  double sum = 0.0;
  for (const char* account : accounts) {
    sum += mebi(of, account);
    std::printf("  %-34s %12.1f\n", account, mebi(of, account));
  }
  std::printf("%-36s %12.1f %12.1f\n", name, sum, taken);
}

void print_table(const Report& j) {
  const Report& of = j.at("predicted");
  std::printf("%-36s %12s %12s\n", "rank 0, MiB", "check says", "allocated");
  print_group(of, {"parameters", "moments", "gradients"}, "slabs of parameters", mebi(j, "slabs"));
  print_group(of, {"activations", "expert_rows", "exchange", "scratch"}, "all else", mebi(j, "others"));
  std::printf("  %-34s %12.1f\n  %-34s %12.1f\n", "transient", mebi(of, "transient"), "base", mebi(of, "base"));
  std::printf("%-36s %12.1f %12.1f\n", on_host ? "resident at most" : "in use on the device", mebi(of, "total"),
              mebi(j, "in_use"));
  std::printf("\ntaken when a stage last took more\n");
  for (const auto& [stage, bytes] : j.at("stages").items())
    std::printf("  %-47s %12.1f\n", stage.c_str(), double(bytes.get<std::int64_t>()) / (1 << 20));
  std::printf("\nallocations\n");
  for (const auto& [label, bytes] : j.at("labels").items())
    if (bytes.get<std::int64_t>() >= 1 << 16)
      std::printf("  %-47s %12.1f\n", label.c_str(), double(bytes.get<std::int64_t>()) / (1 << 20));
}

}  // namespace

Exit measure_memory(const Config& resolved, int steps, const std::string& json) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  JsonLines lines;
  comm::on_root(world, [&] { lines.open(json); });
  const train::LaneChoice lanes = train::choose_lanes(resolved, world);
  const Config config = with_lanes(resolved, lanes.lanes);
  Report mine;
  {
    const Allocations all;
    train::Machine machine(config, comm::Communicator::duplicate(MPI_COMM_WORLD));
    for (int i = 1; i <= steps; ++i)
      train::train_step(machine, train::synthetic_batch(config, machine.groups.layout, i), i);
    for (const Queue& queue : machine.queues) queue.fence("switchyard::bench::memory");
    mine = report_of(config, world.rank(), world.size(), all);
  }
  const std::vector<std::string> reports = comm::all_gather(world, mine.dump());
  comm::on_root(world, [&] {
    print_table(mine);
    for (const std::string& report : reports) lines.add(Report::parse(report));
  });
  return Exit::ok;
}

}  // namespace switchyard::bench
