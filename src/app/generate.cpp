// `switchyard generate`: text from the model of a run.
#include "train/generate.hpp"

#include <cstdio>
#include <memory>

#include "app/commands.hpp"
#include "app/launch.hpp"
#include "comm/agree.hpp"

namespace switchyard {
namespace {

struct GenerateOptions {
  std::string run;
  train::Prompt prompt;
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
  const std::string made = train::generate(options.run, loaded.config, options.prompt);
  std::fwrite(made.data(), 1, made.size(), stdout);  // it may hold NUL
  std::putchar('\n');
  return Exit::ok;
}

}  // namespace

void add_generate(CLI::App& app, Command& command) {
  auto generate = std::make_shared<GenerateOptions>();
  CLI::App* sub = app.add_subcommand("generate", "Continue a text with the model of a run's last checkpoint");
  sub->add_option("run", generate->run, "folder of the run")->required();
  sub->add_option("--prompt", generate->prompt.text, "text to continue")->required();
  sub->add_option("--tokens", generate->prompt.tokens, "tokens to add")
      ->capture_default_str()
      ->check(number_in(1, 1 << 20));
  sub->add_option("--temperature", generate->prompt.temperature, "0 always takes the most probable token")
      ->capture_default_str()
      ->check(number_in(0.0, 100.0));
  sub->add_option("--seed", generate->prompt.seed, "of the draws")->capture_default_str()->check(any_seed());
  sub->callback([&command, generate] {
    command.ranks = Ranks::all;
    command.run = [generate] { return generate_command(*generate); };
  });
}

}  // namespace switchyard
