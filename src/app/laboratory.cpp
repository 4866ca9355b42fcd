// `switchyard data laboratory`: one routed layer trained on generated tokens, beside what is ideal.
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "app/commands.hpp"
#include "app/generated.hpp"
#include "config/values.hpp"
#include "laboratory/experiment.hpp"
#include "laboratory/facts.hpp"
#include "laboratory/generate.hpp"

namespace switchyard {
namespace {

struct LaboratoryOptions {
  laboratory::ExperimentOptions experiment;
  std::string experts;        ///< "1,2,4"
  std::string router, model;  ///< as given; empty takes what suits the generator
  int exposures = 1000;
  bool gave_exposures = false, gave_hidden = false;
};

std::vector<int> numbers_of(const std::string& list) {
  std::vector<int> numbers;
  for (const std::string& part : list_parts(list)) parse_value(part, numbers.emplace_back());
  return numbers;
}

/// `head` goes before the first row, so that what is refused leaves no half of a table.
Exit tree_command(const LaboratoryOptions& options, const std::vector<int>& numbers, std::string head) {
  laboratory::ExperimentOptions experiment = options.experiment;
  if (!options.router.empty()) experiment.router = options.router;
  if (!options.model.empty()) experiment.model.model = options.model;
  head += "experts,router,samples,ideal,assignment,trained,max_vio\n";
  for (const int experts : numbers) laboratory::require_experts(options.experiment.folder, experts);
  for (const int experts : numbers) {
    const laboratory::Outcome o = laboratory::run_experiment(experiment, experts);
    std::fputs(std::exchange(head, "").c_str(), stdout);
    std::printf("%d,%s,%lld,%.6f,%.6f,%.6f,%.6f\n", experts, experiment.router.c_str(),
                static_cast<long long>(o.samples), o.ideal, o.assignment, o.trained, o.max_vio);
    std::fflush(stdout);
  }
  return Exit::ok;
}

Exit facts_command(const LaboratoryOptions& options, const std::vector<int>& numbers, std::string head) {
  const laboratory::ExperimentOptions& o = options.experiment;
  check(options.router.empty() || options.router == "hash", Exit::usage,
        o.folder + " has facts: only --router hash sends them, not " + options.router);
  check(options.model.empty() || options.model == "mlp", Exit::usage,
        o.folder + " has facts: only --model mlp learns them, not " + options.model);
  const laboratory::FactsOptions facts{o.folder, o.model.hidden, options.exposures, o.model.rate};
  check(o.samples == 0, Exit::usage, o.folder + " has facts: --exposures says how often each is seen, not --samples");
  head += "facts,hidden,experts,exposures,rho,loss,ideal\n";
  for (const int experts : numbers) laboratory::require_experts(o.folder, experts);
  for (const int experts : numbers) {
    const laboratory::FactsOutcome out = laboratory::run_facts(facts, experts);
    std::fputs(std::exchange(head, "").c_str(), stdout);
    std::printf("%d,%d,%d,%d,%.6f,%.6f,%.6f\n", out.facts, facts.hidden, experts, facts.exposures, out.density,
                out.loss, out.ideal);
    std::fflush(stdout);
  }
  return Exit::ok;
}

/// Of options whose effect depends on what the folder holds, those that have none.
void check_folder_options(const LaboratoryOptions& options, bool facts) {
  const std::string& folder = options.experiment.folder;
  check(facts || !options.gave_exposures, Exit::usage,
        folder + " has no facts: --exposures has no effect; leave it out");
  check(facts || !options.gave_hidden || options.model == "mlp", Exit::usage,
        "--hidden has no effect without --model mlp; leave it out");
}

Exit laboratory_command(const LaboratoryOptions& options, const std::vector<std::string>& command_line) {
  const std::string& folder = options.experiment.folder;
  const std::vector<int> experts = numbers_of(options.experts);
  check(std::set<int>(experts.begin(), experts.end()).size() == experts.size(), Exit::usage,
        "--experts gives a number twice; give each once");
  const bool facts = laboratory::holds_facts(folder);
  check_folder_options(options, facts);
  const std::uint64_t seed = facts ? laboratory::facts_of(folder).seed : laboratory::generator_of(folder).seed;
  const std::string head = made_by(command_line, seed);
  return facts ? facts_command(options, experts, head) : tree_command(options, experts, head);
}

void add_router(CLI::App& sub, laboratory::RouterOptions& learned) {
  sub.add_option("--balance", learned.balance, "of a learned router: none, aux (Switch's loss) or free (loss-free)")
      ->capture_default_str()
      ->check(one_of({"none", "aux", "free"}));
  sub.add_option("--aux", learned.aux, "coefficient of Switch's loss")
      ->capture_default_str()
      ->check(number_in(0.0, 1e6));
  sub.add_option("--bias-rate", learned.bias_rate, "step of the loss-free bias")
      ->capture_default_str()
      ->check(number_in(0.0, 1e6));
  sub.add_option("--router-rate", learned.rate, "learning rate of a learned router")
      ->capture_default_str()
      ->check(number_in(0.0, 1e6));
}

/// Refuses what the router leaves without effect.
void refuse_without_effect(const CLI::App& sub, const LaboratoryOptions& lab) {
  const laboratory::ExperimentOptions& o = lab.experiment;
  const bool learned = lab.router == "learned";
  const std::string router = lab.router.empty() ? "the folder's own router" : "--router " + lab.router;
  if (!learned) refuse_given(sub, {"--balance", "--aux", "--bias-rate", "--router-rate"}, router);
  if (learned && o.learned.balance != "aux") refuse_given(sub, {"--aux"}, "--balance " + o.learned.balance);
  if (learned && o.learned.balance != "free") refuse_given(sub, {"--bias-rate"}, "--balance " + o.learned.balance);
}

}  // namespace

void add_laboratory(CLI::App& group, Command& command) {
  auto lab = std::make_shared<LaboratoryOptions>();
  laboratory::ExperimentOptions& o = lab->experiment;
  CLI::App* sub =
      group.add_subcommand("laboratory", "Train one routed layer on generated tokens; CSV beside what is ideal");
  sub->add_option("folder", o.folder, "folder of switchyard data generate")->required();
  sub->add_option("--router", lab->router, "oracle (what trees take), hash (what facts take) or learned")
      ->check(one_of({"oracle", "hash", "learned"}));
  sub->add_option("--experts", lab->experts, "numbers of experts: 1,2,4")
      ->required()
      ->check(list_of(number_in(1, 1 << 14)));
  sub->add_option("--samples", o.samples, "of a tree, the folder's first; 0 takes all")
      ->capture_default_str()
      ->check(number_in(std::int64_t{0}, max_samples));
  sub->add_option("--model", lab->model, "experts: table (Adagrad; what trees take) or mlp (AdamW; what facts take)")
      ->check(one_of({"table", "mlp"}));
  sub->add_option("--hidden", o.model.hidden, "hidden units of an mlp")
      ->capture_default_str()
      ->check(number_in(1, 1 << 12));
  sub->add_option("--exposures", lab->exposures, "of each fact")->capture_default_str()->check(number_in(1, 1 << 24));
  sub->add_option("--rate", o.model.rate, "learning rate; 0 takes what suits the experts")
      ->capture_default_str()
      ->check(number_in(0.0, 1e6));
  add_router(*sub, o.learned);
  sub->callback([&command, lab, sub] {
    refuse_without_effect(*sub, *lab);
    lab->gave_exposures = sub->count("--exposures") > 0, lab->gave_hidden = sub->count("--hidden") > 0;
    command.run = [lab, line = command.command_line] { return laboratory_command(*lab, line); };
  });
}

}  // namespace switchyard
