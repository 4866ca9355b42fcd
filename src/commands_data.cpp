// `switchyard data`: text to corpora, whether a corpus is sound, and generated tokens with the laboratory that learns
// them.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>

#include "commands.hpp"
#include "config/values.hpp"
#include "data/build.hpp"
#include "data/check.hpp"
#include "laboratory/experiment.hpp"
#include "laboratory/generate.hpp"
#include "record/provenance.hpp"

namespace switchyard {
namespace {

Exit build_command(data::BuildOptions options) {
  options.say = [](const std::string& line) { std::fprintf(stderr, "switchyard: %s\n", line.c_str()); };
  const data::BuildReport report = data::build_corpus(options);
  std::printf("%s: %lld documents, %lld bytes, %lld training tokens, %lld validation tokens, vocabulary %d\n",
              options.out.c_str(), static_cast<long long>(report.documents), static_cast<long long>(report.bytes),
              static_cast<long long>(report.train_tokens), static_cast<long long>(report.validation_tokens),
              report.vocabulary);
  return Exit::ok;
}

Exit check_command(const std::string& path) {
  const std::vector<std::string> problems = data::check_corpus(path);
  if (!problems.empty()) throw Error(Exit::corrupt, join(problems, "\n"));
  std::printf("%s: sound\n", path.c_str());
  return Exit::ok;
}

void add_build(CLI::App& group, Command& command) {
  auto build = std::make_shared<data::BuildOptions>();
  CLI::App* sub = group.add_subcommand("build", "Turn text into token shards with a manifest");
  sub->add_option("inputs", build->inputs,
                  "folders (of which .txt, .jsonl and .ndjson files are taken) and files of any ending; .jsonl and "
                  ".ndjson hold a document a line, any other file is one document")
      ->required();
  sub->add_option("--ending", build->endings, "take files of folders with this ending as text too; may be repeated")
      ->allow_extra_args(false);
  sub->add_flag("--all", build->all, "take every file of folders, hidden ones too");
  sub->add_option("--out", build->out, "folder to make; must not exist")->required();
  sub->add_option("--tokenizer", build->tokenizer, "bytes, bpe (trained on the inputs) or a SentencePiece .model file")
      ->capture_default_str();
  sub->add_option("--vocabulary", build->vocabulary, "pieces of a trained tokenizer")
      ->capture_default_str()
      ->check(number_in(257, 1 << 24));
  sub->add_option("--validation-share", build->validation_share, "share of the documents held out")
      ->capture_default_str()
      ->check(number_in(0.0, 1.0));
  sub->add_option("--seed", build->seed, "of the draw of held-out documents")->capture_default_str()->check(any_seed());
  sub->add_option("--tokenizer-bytes", build->tokenizer_bytes, "text that a tokenizer is trained on")
      ->capture_default_str()
      ->check(number_in(std::int64_t{1}, std::int64_t{1} << 40));
  sub->callback([&command, build, sub] {
    if (build->tokenizer != "bpe")
      refuse_given(*sub, {"--vocabulary", "--tokenizer-bytes"},
                   "--tokenizer " + build->tokenizer + " (only bpe trains a tokenizer)");
    command.run = [build] { return build_command(*build); };
  });
}

/// First line of a table, a comment: what made it.
std::string made_by(const std::vector<std::string>& command_line, std::uint64_t seed) {
  const nlohmann::ordered_json json = {
      {"command", join(command_line, " ")}, {"commit", record::program_commit()}, {"seed", seed}};
  return "# " + json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

Exit generate_command(laboratory::GenerateOptions options, const std::vector<std::string>& command_line) {
  options.made_by = made_by(command_line, options.seed);
  options.say = [](const std::string& step) { std::fprintf(stderr, "switchyard: %s\n", step.c_str()); };
  laboratory::generate(options);
  if (options.shape == "facts")
    std::printf("%s: %d facts of %d answers\n", options.out.c_str(), options.facts, options.values);
  else
    std::printf("%s: %lld samples of %s with %d tasks; ideal.csv has their exact losses\n", options.out.c_str(),
                static_cast<long long>(options.samples), options.shape.c_str(), options.tasks);
  return Exit::ok;
}

/// Of generated tokens: what a shard of 16-bit tokens tells apart, and samples of three tokens counted in an int32.
constexpr int most_pieces = 50256;
constexpr std::int64_t most_samples = std::numeric_limits<std::int32_t>::max() / 3;

void add_generate(CLI::App& group, Command& command) {
  auto generate = std::make_shared<laboratory::GenerateOptions>();
  CLI::App* sub = group.add_subcommand("generate", "Make tokens of which is known what experts can learn");
  sub->add_option("--shape", generate->shape, "knee, bend, clark or zipf: the curve of losses over experts; or facts")
      ->capture_default_str();
  sub->add_option("--tasks", generate->tasks, "L, where the gain of more experts ends")
      ->capture_default_str()
      ->check(number_in(2, 4096));
  sub->add_option("--keys", generate->keys, "keys of a task")->capture_default_str()->check(number_in(1, most_pieces));
  sub->add_option("--values", generate->values, "values of a level's alphabet, or answers of facts")
      ->capture_default_str()
      ->check(number_in(1, most_pieces));
  sub->add_option("--samples", generate->samples, "samples to train on, three tokens each")
      ->capture_default_str()
      ->check(number_in(std::int64_t{1}, most_samples));
  sub->add_option("--facts", generate->facts, "facts, each with a random key and answer")
      ->capture_default_str()
      ->check(number_in(1, most_pieces));
  sub->add_option("--seed", generate->seed, "of all that is drawn")->capture_default_str()->check(any_seed());
  sub->add_option("--out", generate->out, "folder to make; must not exist")->required();
  sub->callback([&command, generate, sub] {
    generate->shape == "facts" ? refuse_given(*sub, {"--tasks", "--keys", "--samples"}, "--shape facts")
                               : refuse_given(*sub, {"--facts"}, "--shape " + generate->shape);
    command.run = [generate, line = command.command_line] { return generate_command(*generate, line); };
  });
}

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
      ->capture_default_str();
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

void add_laboratory(CLI::App& group, Command& command) {
  auto lab = std::make_shared<LaboratoryOptions>();
  laboratory::ExperimentOptions& o = lab->experiment;
  CLI::App* sub =
      group.add_subcommand("laboratory", "Train one routed layer on generated tokens; CSV beside what is ideal");
  sub->add_option("folder", o.folder, "folder of switchyard data generate")->required();
  sub->add_option("--router", lab->router, "oracle (what trees take), hash (what facts take) or learned");
  sub->add_option("--experts", lab->experts, "numbers of experts: 1,2,4")
      ->required()
      ->check(list_of(number_in(1, 1 << 14)));
  sub->add_option("--samples", o.samples, "of a tree, the folder's first; 0 takes all")
      ->capture_default_str()
      ->check(number_in(std::int64_t{0}, most_samples));
  sub->add_option("--model", lab->model, "experts: table (Adagrad; what trees take) or mlp (AdamW; what facts take)");
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

}  // namespace

void add_data_commands(CLI::App& app, Command& command) {
  CLI::App* group = app.add_subcommand("data", "Make and check corpora");
  group->require_subcommand(1);
  add_build(*group, command);
  add_generate(*group, command);
  add_laboratory(*group, command);
  auto path = std::make_shared<std::string>();
  CLI::App* sub = group->add_subcommand("check", "Verify the sums and ranges of a corpus");
  sub->add_option("path", *path, "corpus folder, or an llm.c .bin shard")->required();
  sub->callback([&command, path] { command.run = [path] { return check_command(*path); }; });
}

}  // namespace switchyard
