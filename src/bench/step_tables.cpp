#include <algorithm>
#include <cmath>
#include <cstdio>

#include "bench/step.hpp"
#include "comm/agree.hpp"

namespace switchyard::bench {
namespace {

using Report = nlohmann::ordered_json;

double number(const Report& report, const char* key) { return report.at(key).get<double>(); }

/// "pairwise interleaved 4"
std::string way_of(const Report& report) {
  return report.at("exchange").get<std::string>() + " " + report.at("schedule").get<std::string>() + " " +
         std::to_string(report.at("lanes").get<int>());
}

/// What the first has in common with those that differ in their way alone; the bound of others would be another.
bool has_another_layout(const Report& report, const Report& first) {
  for (const char* key : {"expert_parallel", "expert_tensor_parallel", "zero", "recompute", "local_first", "placement",
                          "waves", "poll_us"})
    if (report.at(key) != first.at(key)) return true;
  return false;
}

/// "layout.zero=1 layout.lanes=2" as "zero=1 lanes=2".
std::string name_of(const Report& report, const Report& first) {
  if (!has_another_layout(report, first)) return way_of(report);
  std::string name = report.at("with").get<std::string>();
  for (std::size_t at; (at = name.find("layout.")) != name.npos;) name.erase(at, 7);
  return name;
}

/// Losses are the same bits whatever is between.
void require_one_loss(const std::vector<Report>& reports) {
  for (const Report& report : reports)
    check(report.at("last_loss") == reports.front().at("last_loss"), Exit::internal,
          "with " + name_of(report, reports.front()) + " the loss ends as " + report.at("last_loss").dump() +
              ", with " + way_of(reports.front()) + " as " + reports.front().at("last_loss").dump() +
              ": a layout changed bits, so no time of it counts");
}

/// The serial step with its exchange; the first of all where there is none.
const Report& serial_of(const Report& report, const std::vector<Report>& all) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const Report& other) {
    return other.at("schedule") == "serial" && other.at("exchange") == report.at("exchange");
  });
  return found == all.end() ? all.front() : *found;
}

/// The bound is the longer of compute, that of the serial step with this exchange, and communication, the first step's
/// by the bytes that are left.
void print_line(const Report& report, const std::vector<Report>& all) {
  const Report& serial = all.front();
  const double compute = number(serial_of(report, all), "compute_ms"),
               bytes = std::max(1.0, number(serial, "row_bytes_across")),
               share = number(report, "row_bytes_across") / bytes,
               bound = std::max(compute, number(serial, "communication_ms") * share), step = number(report, "step_ms");
  std::printf("%-46s %9.1f %6.3f %9.1f %9.1f %8.1f %8.1f %6.2f", name_of(report, serial).c_str(), step,
              report.value("step_ratio", 1.0), number(report, "communication_ms"), number(report, "exposed_ms"),
              100.0 * number(report, "exposed_share"), 100.0 * number(report, "utilisation"),
              number(report, "hidden_share"));
  if (has_another_layout(report, serial))
    std::printf(" %8s %9s %7s\n", "-", "-", "-");
  else
    std::printf(" %8.1f %9.1f %7.1f\n", 100.0 * (1.0 - share), bound, 100.0 * bound / step);
}

/// One line of the table of determinism. Two of each, in an order and its reverse: two machines of one setting differ
/// by where their memory lies and by their place in a turn.
void print_cost(const comm::Communicator& world, const Config& config, const StepOptions& options) {
  Variant run{"train.determinism=run", config, {}}, layout{"train.determinism=layout", config, {}};
  run.config.train.determinism = Determinism::run, layout.config.train.determinism = Determinism::layout;
  const std::vector<Report> reports = measure_steps({run, layout, layout, run}, options);
  const auto both = [&](std::size_t a, std::size_t b, const char* key) {
    const auto of = [&](std::size_t i) { return reports[i].contains(key) ? number(reports[i], key) : 1.0; };
    return (of(a) + of(b)) / 2.0;
  };
  comm::on_root(world, [&] {
    std::printf("%6d %6d %6d %12.1f %12.1f %9.1f %9.1f\n", config.moe.experts, config.train.grains, world.size(),
                both(0, 3, "step_ms"), both(1, 2, "step_ms"),
                100.0 * (both(1, 2, "step_ratio") / both(0, 3, "step_ratio") - 1.0),
                100.0 * std::abs(number(reports[3], "step_ratio") - 1.0));
    std::fflush(stdout);
  });
}

}  // namespace

Exit print_overlap(const std::vector<Variant>& variants, const StepOptions& options) {
  const std::vector<Report> reports = measure_steps(variants, options);
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  comm::agree(world, [&] { require_one_loss(reports); });
  comm::on_root(world, [&] {
    std::printf("%s, %d steps each; times in ms, shares in %%\n", reports.front().at("way").get<std::string>().c_str(),
                options.repetitions);
    std::printf("%-46s %9s %6s %9s %9s %8s %8s %6s %8s %9s %7s\n", "exchange schedule lanes", "step", "ratio", "busy",
                "exposed", "exposed", "at work", "eta", "removed", "bound", "reached");
    for (const Report& report : reports) print_line(report, reports);
    std::printf("all end with the loss %s\n", reports.front().at("last_loss").dump().c_str());
  });
  return Exit::ok;
}

Exit print_determinism(const std::vector<Variant>& configurations, const StepOptions& options) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  comm::on_root(world, [] {
    std::printf("%6s %6s %6s %12s %12s %9s %9s\n", "E", "grains", "ranks", "run (ms)", "layout (ms)", "costs (%)",
                "noise (%)");
  });
  for (const Variant& variant : configurations) print_cost(world, variant.config, options);
  return Exit::ok;
}

}  // namespace switchyard::bench
