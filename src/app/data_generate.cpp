// `switchyard data generate`: tokens of which is known what experts can learn.
#include <cstdio>
#include <memory>
#include <string>

#include "app/commands.hpp"
#include "app/generated.hpp"
#include "laboratory/generate.hpp"

namespace switchyard {
namespace {

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

/// What a shard of 16-bit tokens tells apart.
constexpr int max_pieces = 50256;

}  // namespace

void add_data_generate(CLI::App& group, Command& command) {
  auto generate = std::make_shared<laboratory::GenerateOptions>();
  CLI::App* sub = group.add_subcommand("generate", "Make tokens of which is known what experts can learn");
  sub->add_option("--shape", generate->shape, "knee, bend, clark or zipf: the curve of losses over experts; or facts")
      ->capture_default_str()
      ->check(one_of({"knee", "bend", "clark", "zipf", "facts"}));
  sub->add_option("--tasks", generate->tasks, "L, where the gain of more experts ends")
      ->capture_default_str()
      ->check(number_in(2, 4096));
  sub->add_option("--keys", generate->keys, "keys of a task")->capture_default_str()->check(number_in(1, max_pieces));
  sub->add_option("--values", generate->values, "values of a level's alphabet, or answers of facts")
      ->capture_default_str()
      ->check(number_in(1, max_pieces));
  sub->add_option("--samples", generate->samples, "samples to train on, three tokens each")
      ->capture_default_str()
      ->check(number_in(std::int64_t{1}, max_samples));
  sub->add_option("--facts", generate->facts, "facts, each with a random key and answer")
      ->capture_default_str()
      ->check(number_in(1, max_pieces));
  sub->add_option("--seed", generate->seed, "of all that is drawn")->capture_default_str()->check(any_seed());
  sub->add_option("--out", generate->out, "folder to make; must not exist")->required();
  sub->callback([&command, generate, sub] {
    generate->shape == "facts" ? refuse_given(*sub, {"--tasks", "--keys", "--samples"}, "--shape facts")
                               : refuse_given(*sub, {"--facts"}, "--shape " + generate->shape);
    command.run = [generate, line = command.command_line] { return generate_command(*generate, line); };
  });
}

}  // namespace switchyard
