// `switchyard train` and `switchyard resume`.
#include <filesystem>
#include <memory>

#include "app/commands.hpp"
#include "app/launch.hpp"

namespace switchyard {
namespace {

struct TrainOptions {
  std::string config;
  std::vector<std::string> overrides;
  std::string run;
  std::string from, upcycle;
};

train::Ancestor ancestor_of(const TrainOptions& options) {
  if (!options.upcycle.empty()) return {record::Parent::Kind::upcycled, options.upcycle};
  return {record::Parent::Kind::branch, options.from};
}

Exit train_command(const TrainOptions& options, const std::vector<std::string>& command_line) {
  const LoadResult loaded = load_on_all(options.config, options.overrides);
  return start_run(loaded,
                   options.run.empty() ? "runs/" + std::filesystem::path(options.config).stem().string() : options.run,
                   command_line, ancestor_of(options));
}

struct ResumeOptions {
  std::string run;
  std::vector<std::string> overrides;
};

}  // namespace

void add_train(CLI::App& app, Command& command) {
  auto train = std::make_shared<TrainOptions>();
  CLI::App* sub = app.add_subcommand("train", "Train a model, from scratch or from a checkpoint of another run");
  sub->add_option("config", train->config, "configuration file")->required();
  sub->add_option("overrides", train->overrides, "section.key=value, in place of the file's value");
  sub->add_option("--run", train->run, "folder of the run; by default runs/<name of the configuration>");
  CLI::Option* from = sub->add_option(
      "--from", train->from,
      "RUN or RUN@STEP: go on from that checkpoint with its steps, moments and biases, as a run of its own "
      "whose schedule, length, data and balancer may be others");
  sub->add_option(
         "--upcycle", train->upcycle,
         "RUN or RUN@STEP of a dense model: begin at step 0 with every expert a copy of its block's feed-forward "
         "and routers as initialised")
      ->excludes(from);
  sub->callback([&command, train] {
    command.ranks = Ranks::all, command.stops_in_order = true;
    command.run = [train, line = command.command_line] { return train_command(*train, line); };
  });
  auto resume = std::make_shared<ResumeOptions>();
  sub = app.add_subcommand("resume", "Continue a run from its last checkpoint, on any layout");
  sub->add_option("run", resume->run, "folder of the run")->required();
  sub->add_option("overrides", resume->overrides,
                  "train.steps, train.max_time, train.graph, train.keep_steps, layout.* and record.* may change");
  sub->callback([&command, resume] {
    command.ranks = Ranks::all, command.stops_in_order = true;
    command.run = [resume, line = command.command_line] { return continue_run(resume->run, resume->overrides, line); };
  });
}

}  // namespace switchyard
