// `switchyard check`: what the run of a configuration would be, without MPI and without touching anything.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "app/commands.hpp"
#include "app/machine_file.hpp"
#include "config/estimate.hpp"
#include "config/lane_choice.hpp"
#include "config/placement_file.hpp"
#include "config/yaml.hpp"
#include "data/batch.hpp"
#include "record/disk.hpp"
#include "train/memory.hpp"
#include "train/run_corpus.hpp"

namespace switchyard {
namespace {

/// Memory is stated for each rank, so that their number bounds the time of the answer.
constexpr int max_ranks = 1 << 14;

struct CheckOptions {
  std::string config;
  std::vector<std::string> overrides;
  int ranks = 1;
};

/// Opens the corpus as the run would: takes its vocabulary, says what of it the system may keep in memory,
/// finds too few tokens and remarks other held-out tokens than asked for. Where the corpus is not there yet, a remark
/// if the rest does not depend on it.
std::string look_at_corpus(LoadResult& loaded, int ranks) {
  Config& config = loaded.config;
  if (config.model.vocabulary > 0 && !std::filesystem::exists(config.data.path))
    return "note: the corpus was not checked: " + config.data.path + " does not exist\n";
  const data::Corpus corpus = train::open_corpus_for(config);
  Layout layout;
  layout.ranks = layout.expert_parallel = ranks;
  layout.grains = config.train.grains;
  const std::string note = data::Batches(corpus, config, layout).evaluation_note();
  const std::int64_t cached = corpus.tokens(data::Split::train) * (corpus.vocabulary() > 1 << 16 ? 4 : 2);
  return describe_line("file cache", mebibytes(cached) + " of shards beside that, one copy a host") +
         (note.empty() ? "" : "note: " + note + "\n");
}

/// Which of the numbers of lanes that a run would measure needs most memory, and what ranks then need.
struct Assumed {
  Config config;
  std::vector<RankBytes> bytes;
};

Assumed assume_lanes(const Config& config, int ranks) {
  Assumed largest;
  for (const int lanes : lane_candidates(config, ranks)) {
    Assumed one{with_lanes(config, lanes), {}};
    one.bytes = train::rank_bytes(one.config, ranks);
    if (largest.bytes.empty() || train::most_bytes(one.bytes) > train::most_bytes(largest.bytes))
      largest = std::move(one);
  }
  return largest;
}

std::string lanes_note(const Config& config, const Config& assumed, int ranks) {
  if (config.layout.lanes != 0) return "";
  return "note: layout.lanes: 0: a run takes what it measures to be fastest of " +
         format_value(lane_candidates(config, ranks)) + "; memory and disk are those of " +
         format_value(assumed.layout.lanes) + ", which needs most memory\n";
}

Exit check_config(const CheckOptions& options) {
  LoadResult loaded = load(options.config, options.overrides);
  add_violations(loaded, options.ranks);
  add_placement(loaded);
  throw_errors(loaded);
  read_machine(loaded);
  const std::string note = look_at_corpus(loaded, options.ranks);
  const Assumed assumed = assume_lanes(loaded.config, options.ranks);
  const std::string text = describe(assumed.config, assumed.bytes) +
                           record::describe_disk(assumed.config, options.ranks) + note +
                           lanes_note(loaded.config, assumed.config, options.ranks);
  std::fputs(text.c_str(), stdout);
  for (const Violation& a : advice(loaded.config, options.ranks))
    std::printf("note: %s: %s\n", a.key.c_str(), a.message.c_str());
  std::printf("%s: good for %d %s\n", options.config.c_str(), options.ranks, options.ranks == 1 ? "rank" : "ranks");
  return Exit::ok;
}

}  // namespace

void add_check(CLI::App& app, Command& command) {
  auto check = std::make_shared<CheckOptions>();
  CLI::App* sub = app.add_subcommand("check", "Check a configuration and say what the run would be");
  sub->add_option("config", check->config, "configuration file")->required();
  sub->add_option("overrides", check->overrides, "section.key=value");
  sub->add_option("--ranks", check->ranks, "number of MPI ranks of the run")
      ->capture_default_str()
      ->check(number_in(1, max_ranks));
  sub->callback([&command, check] { command.run = [check] { return check_config(*check); }; });
}

}  // namespace switchyard
