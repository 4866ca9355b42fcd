// `switchyard train`, `resume`, `generate` and `bench step`: all ranks work together.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "comm/agree.hpp"
#include "commands.hpp"
#include "start.hpp"
#include "train/bench.hpp"
#include "train/generate.hpp"

namespace switchyard {
namespace {

/// Notes of a command that keeps no log.
void print_notes(const Config& config, const KokkosSession& kokkos) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  for (const std::string& note : notes_of(config, kokkos))
    if (world.rank() == 0) std::fprintf(stderr, "switchyard: note: %s\n", note.c_str());
}

struct TrainOptions {
  std::string config;
  std::vector<std::string> overrides;
  std::string run;
};

Exit train_command(const TrainOptions& options, const std::vector<std::string>& command_line) {
  const LoadResult loaded = load_on_all(options.config, options.overrides);
  return start_run(loaded,
                   options.run.empty() ? "runs/" + std::filesystem::path(options.config).stem().string() : options.run,
                   command_line);
}

struct ResumeOptions {
  std::string run;
  std::vector<std::string> overrides;
};

struct BenchOptions {
  std::string config;
  std::vector<std::string> overrides;
  int warmup = 3;
  int repetitions = 10;
  std::string json;
};

Exit bench_command(const BenchOptions& options) {
  const LoadResult loaded = load_on_all(options.config, options.overrides);
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  comm::agree(world, [&] {
    check(loaded.config.model.vocabulary > 0, Exit::usage,
          options.config + ": model.vocabulary: is 0 (a benchmark has no corpus to take it from); set it");
  });
  const KokkosSession kokkos(loaded.config.layout.threads);
  print_notes(loaded.config, kokkos);
  return train::bench_step(loaded.config, options.warmup, options.repetitions, options.json);
}

struct GenerateOptions {
  std::string run;
  std::string prompt;
  int tokens = 200;
  double temperature = 0.8;
  std::uint64_t seed = 1;
};

Exit generate_command(const GenerateOptions& options) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  const auto [file, text] = config_of_run(options.run);
  const LoadResult loaded = load_text(file, text);  // valid for the layout that it was trained on
  comm::agree(world, [&] {
    throw_errors(loaded);
    check(world.size() == 1, Exit::usage, "generate works on one rank; start it without mpirun");
  });
  const KokkosSession kokkos(loaded.config.layout.threads);
  const std::string made =
      train::generate(options.run, options.prompt, options.tokens, options.temperature, options.seed);
  std::fwrite(made.data(), 1, made.size(), stdout);  // it may hold NUL
  std::putchar('\n');
  return Exit::ok;
}

void add_train_and_resume(CLI::App& app, Command& command) {
  auto train = std::make_shared<TrainOptions>();
  CLI::App* sub = app.add_subcommand("train", "Train a model from scratch");
  sub->add_option("config", train->config, "configuration file")->required();
  sub->add_option("overrides", train->overrides, "section.key=value, in place of the file's value");
  sub->add_option("--run", train->run, "folder of the run; by default runs/<name of the configuration>");
  sub->callback([&command, train] {
    command.ranks = Ranks::all, command.stops_in_order = true;
    command.run = [train, line = command.command_line] { return train_command(*train, line); };
  });
  auto resume = std::make_shared<ResumeOptions>();
  sub = app.add_subcommand("resume", "Continue a run from its last checkpoint, on any layout");
  sub->add_option("run", resume->run, "folder of the run")->required();
  sub->add_option("overrides", resume->overrides, "train.steps, train.max_time, layout.* and record.* may change");
  sub->callback([&command, resume] {
    command.ranks = Ranks::all, command.stops_in_order = true;
    command.run = [resume, line = command.command_line] { return continue_run(resume->run, resume->overrides, line); };
  });
}

void add_generate(CLI::App& app, Command& command) {
  auto generate = std::make_shared<GenerateOptions>();
  CLI::App* sub = app.add_subcommand("generate", "Continue a text with the model of a run's last checkpoint");
  sub->add_option("run", generate->run, "folder of the run")->required();
  sub->add_option("--prompt", generate->prompt, "text to continue")->required();
  sub->add_option("--tokens", generate->tokens, "tokens to add")->capture_default_str()->check(number_in(1, 1 << 20));
  sub->add_option("--temperature", generate->temperature, "0 always takes the most probable token")
      ->capture_default_str()
      ->check(number_in(0.0, 100.0));
  sub->add_option("--seed", generate->seed, "of the draws")->capture_default_str()->check(any_seed());
  sub->callback([&command, generate] {
    command.ranks = Ranks::all;
    command.run = [generate] { return generate_command(*generate); };
  });
}

void add_bench(CLI::App& app, Command& command) {
  auto bench = std::make_shared<BenchOptions>();
  CLI::App* group = app.add_subcommand("bench", "Measure");
  group->require_subcommand(1);
  CLI::App* sub = group->add_subcommand("step", "Tokens per second of whole training steps on random tokens");
  sub->add_option("config", bench->config, "configuration file")->required();
  sub->add_option("overrides", bench->overrides, "section.key=value");
  sub->add_option("--warmup", bench->warmup, "steps before the measurement")
      ->capture_default_str()
      ->check(number_in(0, 1 << 20));
  sub->add_option("--repetitions", bench->repetitions, "steps measured")
      ->capture_default_str()
      ->check(number_in(1, 1 << 20));
  sub->add_option("--json", bench->json, "file to append the result to, one JSON line");
  sub->callback([&command, bench] {
    command.ranks = Ranks::all;
    command.run = [bench] { return bench_command(*bench); };
  });
}

}  // namespace

void add_run_commands(CLI::App& app, Command& command) {
  add_train_and_resume(app, command);
  add_generate(app, command);
  add_bench(app, command);
}

}  // namespace switchyard
