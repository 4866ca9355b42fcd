// `switchyard plan`: what a configuration comes to, and what a step would take on ranks and nodes of a measured
// machine, and which layout to take there.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/commands.hpp"
#include "bench/json_lines.hpp"
#include "config/estimate.hpp"
#include "config/moe_layers.hpp"
#include "config/placement_file.hpp"
#include "config/yaml.hpp"
#include "plan/accounting.hpp"
#include "plan/forecast.hpp"
#include "plan/layouts.hpp"
#include "plan/rule_of_thumb.hpp"
#include "train/memory.hpp"

namespace switchyard {
namespace {

constexpr double gib = 1073741824.0;

struct PlanOptions {
  std::string config, network, json;
  std::vector<std::string> overrides, machines;
  bool parameters = false;
  int ranks = 0, nodes = 1, show = 10;
  double memory = 0.0;  ///< GiB; 0: the machine's
};

template <class T>
std::string name_in_config(T value) {
  return EnumNames<T>::names[static_cast<std::size_t>(value)];
}

/// GBIT or GBIT,MICROSECONDS: of the links between nodes, in place of what was measured.
void set_network(plan::MachineDescription& machine, const std::string& text) {
  if (text.empty()) return;
  const std::vector<std::string> parts = list_parts(text);
  double gbit = 0.0, microseconds = 0.0;
  std::string wrong = parts.size() > 2 ? "has more than a rate and a latency" : parse_value(parts[0], gbit);
  if (wrong.empty() && parts.size() == 2) wrong = parse_value(parts[1], microseconds);
  if (wrong.empty() && !(gbit > 0.0 && gbit <= 1e6 && microseconds >= 0.0 && microseconds <= 1e9))
    wrong = text + " is out of range; must be above 0 and at most 1e6 Gbit/s, and 0 to 1e9 us";
  check(wrong.empty(), Exit::usage, "--network: " + wrong + "; give GBIT or GBIT,MICROSECONDS");
  plan::Way way;  // one that was not measured is taken to be as those are, but for its rate
  for (const auto& measured : {machine.near, machine.near_by_mpi, machine.far}) way = measured.value_or(way);
  way.by_window = false;
  way.bytes_per_s = gbit * 1e9 / 8.0;
  if (parts.size() == 2) way.latency = microseconds * 1e-6, way.collective = std::max(way.collective, way.latency);
  machine.far = way;
}

std::string layout_words(const LayoutConfig& l, int ranks) {
  char text[160];
  std::snprintf(text, sizeof text, "%4d %4d %-9s %-11s %5d %4d %-9s", l.expert_parallel ? l.expert_parallel : ranks,
                l.expert_tensor_parallel, name_in_config(l.exchange).c_str(), name_in_config(l.schedule).c_str(),
                l.lanes, l.zero, name_in_config(l.recompute).c_str());
  return text;
}

void print_row(const plan::Candidate& c, int ranks) {
  const plan::Seconds& s = c.prediction.seconds;
  std::printf("%s %10.3f %10.3f %9.3f %9.3f %6.1f%% %10.3f %10.3f %9.3f%s\n",
              layout_words(c.config.layout, ranks).c_str(), s.step * 1e3, s.computing * 1e3, s.busy * 1e3,
              s.exposed * 1e3, 100.0 * s.hidden_share(), c.prediction.rows.across * 1e-6,
              c.prediction.sums.across * 1e-6, double(c.rank_bytes) / gib, c.fits ? "" : "  does not fit");
}

void print_header() {
  std::printf("%4s %4s %-9s %-11s %5s %4s %-9s %10s %10s %9s %9s %7s %10s %10s %9s\n", "EP", "team", "exchange",
              "schedule", "lanes", "zero", "recompute", "step ms", "compute ms", "busy ms", "expos. ms", "hidden",
              "far rowsMB", "far sumsMB", "GiB/rank");
}

/// Bytes of one step, and whether they can be hidden.
void print_links(const plan::Prediction& p, const Config& config, const plan::Site& site) {
  std::printf("rows           %.3f MB a step between ranks: %.3f MB inside nodes, %.3f MB between\n", p.rows.all * 1e-6,
              (p.rows.all - p.rows.across) * 1e-6, p.rows.across * 1e-6);
  std::printf("sums           %.3f MB a step between ranks: %.3f MB inside nodes, %.3f MB between\n", p.sums.all * 1e-6,
              (p.sums.all - p.sums.across) * 1e-6, p.sums.across * 1e-6);
  const plan::Hiding h = plan::hiding(config, site);
  if (h.bytes_per_s == 0.0) return void(std::printf("hiding         no rows travel\n"));
  std::printf(
      "hiding         forwards experts compute %.1f FLOP a byte (closed form of straight rows %.1f; of a whole step "
      "1.5 "
      "times that);\n               %.2f GFLOP/s of a rank by %.4f GB/s of its share of the link are %.1f: "
      "communication %s be hidden\n",
      h.flop_per_byte, h.straight, h.flop_per_s * 1e-9, h.bytes_per_s * 1e-9, h.needed(),
      h.possible() ? "can" : "cannot wholly");
}

/// The keys of bench step where they mean the same.
nlohmann::ordered_json json_of(const plan::Candidate& c, const plan::Site& site) {
  const LayoutConfig& l = c.config.layout;
  const plan::Seconds& s = c.prediction.seconds;
  nlohmann::ordered_json j;
  j["ranks"] = site.ranks, j["nodes"] = site.nodes;
  j["expert_parallel"] = l.expert_parallel ? l.expert_parallel : site.ranks;
  j["expert_tensor_parallel"] = l.expert_tensor_parallel, j["placement"] = l.placement;
  j["exchange"] = name_in_config(l.exchange), j["schedule"] = name_in_config(l.schedule), j["lanes"] = l.lanes;
  j["waves"] = l.waves;
  j["zero"] = l.zero, j["recompute"] = name_in_config(l.recompute);
  j["step_ms"] = s.step * 1e3, j["computing_ms"] = s.computing * 1e3, j["communication_ms"] = s.busy * 1e3;
  j["exposed_ms"] = s.exposed * 1e3, j["hidden_share"] = s.hidden_share();
  j["row_bytes"] = c.prediction.rows.all, j["row_bytes_across"] = c.prediction.rows.across;
  j["sum_bytes"] = c.prediction.sums.all, j["sum_bytes_across"] = c.prediction.sums.across;
  j["gflop_of_rank"] = c.prediction.flop * 1e-9, j["rank_bytes"] = c.rank_bytes, j["fits"] = c.fits;
  for (int p = 0; p < Timers::phases; ++p) j["phase_ms"][phase_names()[p]] = c.prediction.phases[p] * 1e3;
  return j;
}

std::int64_t most_bytes(const Config& config, int ranks) { return train::most_bytes(train::rank_bytes(config, ranks)); }

void print_rule(const Config& config, const plan::Site& site) {
  if (site.nodes == 1) return void(std::printf("rule of thumb  is about several nodes; there is one\n"));
  if (moe_layers(config).empty()) return void(std::printf("rule of thumb  is about experts; there are none\n"));
  const double gbit = site.machine.far->bytes_per_s * 8e-9;
  const plan::Rule& rule = plan::rule_for(gbit);
  const std::vector<plan::Choice> choices = plan::answer_rule(config, site);
  std::printf("rule of thumb  %s (this link: %.3f): capacity factor %.2f to %.2f, top-%d, experts %s\n",
              rule.band.c_str(), gbit, rule.capacity_low, rule.capacity_high, rule.top_k,
              plan::name_of(rule.spread).c_str());
  std::printf("      %-22s %10s %10s %10s %10s %10s   (ms of a step: even; busiest experts full)\n", "experts",
              "far rowsMB", "even", "to 1.25", "to 1.5", "to 2.0");
  for (const plan::Choice& c : choices)
    std::printf("top-%d %-22s %10.3f %10.3f %10.3f %10.3f %10.3f%s\n", c.top_k, plan::name_of(c.spread).c_str(),
                c.even.rows.across * 1e-6, c.even.seconds.step * 1e3, c.full[1].step * 1e3, c.full[2].step * 1e3,
                c.full[3].step * 1e3, c.top_k == rule.top_k && c.spread == rule.spread ? "  <- the rule" : "");
  for (const std::string& sentence : plan::verdict_on(rule, choices)) std::printf("  %s\n", sentence.c_str());
}

void print_best(const std::vector<plan::Candidate>& ranked, double node_bytes, const plan::Site& site) {
  std::printf("layouts        that fit %.3f GiB a node, the fastest first\n", node_bytes / gib);
  print_header();
  for (const plan::Candidate& c : ranked)
    if (c.fits) print_row(c, site.ranks);
  if (ranked.empty() || !ranked.front().fits)
    return void(std::printf("no layout fits; take more nodes, or a smaller model\n"));
  std::printf("first choice   put into the configuration:\n%s", plan::layout_yaml(ranked.front().config).c_str());
}

/// Also of models that cannot be trained.
Exit print_parameters(const PlanOptions& options) {
  LoadResult loaded = load(options.config, options.overrides);
  add_violations(loaded, 0, Use::count);
  throw_errors(loaded);
  check(loaded.config.model.vocabulary > 0, Exit::usage,
        options.config + ": model.vocabulary: is 0 (parameters are counted without a corpus to take it from); set it");
  const plan::Accounting accounting = plan::count_parameters(loaded.config);
  bench::JsonLines lines;
  lines.open(options.json);
  std::fputs(accounting_text(accounting).c_str(), stdout);
  lines.add(nlohmann::ordered_json::parse(accounting_json(accounting)));
  return Exit::ok;
}

/// What a plan can be made of.
void require_plannable(const PlanOptions& options, const Config& config) {
  check(config.model.vocabulary > 0, Exit::usage,
        options.config + ": model.vocabulary: is 0 (a plan has no corpus to take it from); set it");
  check(options.network.empty() || options.nodes > 1, Exit::usage,
        "--network is about links between nodes, and there is one; give --nodes, or leave it out");
  const int per_node = options.ranks / options.nodes;
  check(config.layout.ranks_per_node == 0 || config.layout.ranks_per_node == per_node, Exit::usage,
        options.config + ": layout.ranks_per_node: is " + format_value(config.layout.ranks_per_node) +
            ", but --ranks " + std::to_string(options.ranks) + " on --nodes " + std::to_string(options.nodes) +
            " are " + std::to_string(per_node) + " a node; set it to 0 or to that");
  if (options.ranks % options.nodes != 0) return;  // which require_site says
  for (const Violation& v : validate(plan::at_site(config, {options.ranks, options.nodes, {}}), options.ranks))
    throw Error(Exit::usage, options.config + ": on " + std::to_string(options.nodes) + " nodes of " +
                                 std::to_string(per_node) + " ranks: " + v.key + ": " + v.message);
}

/// What the machine is taken to be, and how far it drifted.
struct Measured {
  plan::MachineDescription machine;
  std::vector<plan::MachineDescription> all;
};

Measured read_machines(const PlanOptions& options) {
  Measured m;
  for (const std::string& file : options.machines) {
    m.all.push_back(plan::machine_from_yaml(file, read_text(file)));
    set_network(m.all.back(), options.network);
  }
  m.machine = plan::middle_of(m.all, options.machines);
  return m;
}

/// Steps of the configuration with each description: the longest less the shortest, by that with the middle of all.
double print_machine(const Measured& measured, const plan::Candidate& own, plan::Site site) {
  const auto way = [](const std::optional<plan::Way>& w) { return !w ? "none" : w->by_window ? "window" : "mpi"; };
  std::printf("machine        near way by %s, far way by %s\n", way(measured.machine.near), way(measured.machine.far));
  if (measured.all.size() == 1) return 0.0;
  std::vector<double> steps;
  for (const plan::MachineDescription& one : measured.all) {
    site.machine = one;
    steps.push_back(plan::predict(own.config, site).seconds.step);
  }
  const auto [least, most] = std::minmax_element(steps.begin(), steps.end());
  const double drift = (*most - *least) / own.prediction.seconds.step;
  std::printf("drift          %.1f %%: with each of %zu descriptions a step takes %.3f to %.3f ms\n", 100.0 * drift,
              steps.size(), *least * 1e3, *most * 1e3);
  return drift;
}

Exit plan_layouts(const PlanOptions& options) {
  check(
      options.ranks > 0 && !options.machines.empty(), Exit::usage,
      "--ranks and --machine are missing (what a step takes is predicted for ranks of a measured machine); give both, "
      "or --parameters to count the model alone");
  LoadResult loaded = load(options.config, options.overrides);
  add_violations(loaded, options.ranks);
  add_placement(loaded);
  throw_errors(loaded);
  require_plannable(options, loaded.config);
  const Measured measured = read_machines(options);
  const plan::Site site{options.ranks, options.nodes, measured.machine};
  plan::require_site(site);
  const Config config = plan::with_fastest_lanes(loaded.config, site);
  bench::JsonLines lines;
  lines.open(options.json);
  const double node_bytes = options.memory > 0.0 ? options.memory * gib : site.machine.memory;
  const std::int64_t own_bytes = most_bytes(plan::at_site(config, site), site.ranks);
  const plan::Candidate own{config, plan::predict(config, site), own_bytes, plan::fits(own_bytes, site, node_bytes)};
  std::printf("configuration  %d ranks on %d nodes, as it is\n", site.ranks, site.nodes);
  if (loaded.config.layout.lanes == 0)
    std::printf("lanes          %d, the fastest by prediction (layout.lanes is 0: a run measures)\n",
                config.layout.lanes);
  const double drift = print_machine(measured, own, site);
  print_header();
  print_row(own, site.ranks);
  print_links(own.prediction, config, site);
  const std::vector<plan::Candidate> ranked =
      plan::rank_layouts(config, site, node_bytes, most_bytes, static_cast<std::size_t>(options.show));
  print_best(ranked, node_bytes, site);
  print_rule(config, site);
  for (const plan::Candidate& c : ranked) {
    nlohmann::ordered_json line = json_of(c, site);
    line["machines"] = measured.all.size(), line["machine_drift"] = drift;
    lines.add(line);
  }
  return Exit::ok;
}

}  // namespace

void add_plan(CLI::App& app, Command& command) {
  auto plan = std::make_shared<PlanOptions>();
  CLI::App* sub = app.add_subcommand(
      "plan", "Count a model, or predict its step on a measured machine and rank the layouts that fit");
  sub->add_option("config", plan->config, "configuration file")->required();
  sub->add_option("overrides", plan->overrides, "section.key=value");
  CLI::Option* parameters = sub->add_flag("--parameters", plan->parameters,
                                          "count the parameters, all and active, by part, and nothing else");
  sub->add_option("--ranks", plan->ranks, "number of MPI ranks of the run")->check(number_in(1, 4096));
  sub->add_option("--nodes", plan->nodes, "nodes with equally many of them")
      ->capture_default_str()
      ->check(number_in(1, 4096));
  sub->add_option("--machine", plan->machines,
                  "description that `switchyard bench machine` wrote; of several, one --machine each, the median of "
                  "every number is taken, and how far they drift is told")
      ->allow_extra_args(false);
  sub->add_option("--network", plan->network,
                  "GBIT or GBIT,MICROSECONDS: rate of a node's link in each direction, and latency, in place of those "
                  "measured");
  sub->add_option("--memory", plan->memory, "GiB of a node; without it the machine's")->check(number_in(1e-6, 1e9));
  sub->add_option("--show", plan->show, "layouts that are listed")->capture_default_str()->check(number_in(1, 100000));
  for (const char* option : {"--ranks", "--nodes", "--machine", "--network", "--memory", "--show"})
    parameters->excludes(sub->get_option(option));
  sub->add_option("--json", plan->json, "file to append the layouts, or the count, to, one JSON line each");
  sub->callback([&command, plan] {
    command.run = [plan] { return plan->parameters ? print_parameters(*plan) : plan_layouts(*plan); };
  });
}

}  // namespace switchyard
