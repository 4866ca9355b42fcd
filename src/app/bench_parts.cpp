// `switchyard bench layer` and `switchyard bench memory`: one layer by itself, and what a configuration takes.
#include <memory>

#include "app/commands.hpp"
#include "app/launch.hpp"
#include "bench/layer.hpp"
#include "bench/memory.hpp"
#include "comm/agree.hpp"

namespace switchyard {
namespace {

/// An option that takes a name of an enumeration.
template <class E>
void add_choice(CLI::App& sub, const char* name, E& value, const char* help) {
  sub.add_option_function<std::string>(
         name, [&value](const std::string& text) { parse_value(text, value); }, help)
      ->default_str(format_value(value))
      ->check(one_of(EnumNames<E>::names));
}

void add_number(CLI::App& sub, const char* name, int& value, int low, int high, const char* help) {
  sub.add_option(name, value, help)->capture_default_str()->check(number_in(low, high));
}

void add_shape(CLI::App& sub, bench::LayerOptions& options) {
  add_number(sub, "--tokens", options.tokens, 1, 1 << 24, "T");
  add_number(sub, "--width", options.width, 2, 1 << 16, "d");
  add_number(sub, "--hidden", options.hidden, 1, 1 << 20, "f, hidden width of an expert");
  add_number(sub, "--experts", options.experts, 1, 32767, "E, at most the width");
  add_number(sub, "--top-k", options.top_k, 1, 32, "k");
  add_choice(sub, "--activation", options.activation, "of the experts");
  add_choice(sub, "--load", options.load, "rows of experts, which the inputs force");
  add_choice(sub, "--precision", options.precision, "of products and activations");
  add_number(sub, "--grains", options.grains, 1, 1 << 16, "pieces of the tokens, whose gradients are summed");
  add_number(sub, "--threads", options.threads, 1, 1024, "of the rank");
}

Exit bench_layer(const bench::LayerOptions& options) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  comm::agree(world, [&] {
    check(world.size() == 1, Exit::usage,
          "bench layer measures one rank, not " + std::to_string(world.size()) + "; start it without mpirun");
    bench::layer_config(options);
  });
  const KokkosSession kokkos(options.threads);
  return bench::measure_layer(options);
}

struct MemoryOptions {
  std::string config, json;
  std::vector<std::string> overrides;
  int steps = 2;
};

Exit bench_memory(const MemoryOptions& options) {
  const Config config = load_on_all(options.config, options.overrides).config;
  comm::agree(comm::Communicator::duplicate(MPI_COMM_WORLD), [&] {
    check(config.model.vocabulary > 0, Exit::usage,
          options.config + ": model.vocabulary: is 0 (a benchmark has no corpus to take it from); set it");
  });
  const KokkosSession kokkos(config.layout.threads);
  return bench::measure_memory(config, options.steps, options.json);
}

}  // namespace

void add_bench_layer(CLI::App& group, Command& command) {
  auto options = std::make_shared<bench::LayerOptions>();
  CLI::App* sub = group.add_subcommand(
      "layer", "Forward and backward pass of one mixture of experts on one rank, beside its products alone");
  add_shape(*sub, *options);
  sub->add_option("--warmup", options->warmup, "repetitions before the measurement")
      ->capture_default_str()
      ->check(number_in(0, 1 << 20));
  sub->add_option("--repetitions,--repeat", options->repetitions, "of passes and products, in turn")
      ->capture_default_str()
      ->check(number_in(1, 1 << 20));
  add_number(*sub, "--queued", options->queued, 1, 1000, "passes asked for at once; a repetition is their mean");
  CLI::Option* json = sub->add_option("--json", options->json, "file to append the result to, one JSON line");
  sub->add_flag("--serve", options->serve,
                "repetitions by request: reads lines 'run N' and 'products N', answers milliseconds as JSON lines")
      ->excludes(json);
  sub->callback([&command, options] {
    command.ranks = Ranks::all;
    command.run = [options] { return bench_layer(*options); };
  });
}

void add_bench_memory(CLI::App& group, Command& command) {
  auto options = std::make_shared<MemoryOptions>();
  CLI::App* sub = group.add_subcommand(
      "memory", "What a configuration allocates in its first steps, beside what `check` predicts and what is in use");
  sub->add_option("config", options->config, "configuration file")->required();
  sub->add_option("overrides", options->overrides, "section.key=value");
  add_number(*sub, "--steps", options->steps, 1, 1 << 20, "on random tokens");
  sub->add_option("--json", options->json, "file to append the results to, one JSON line a rank");
  sub->callback([&command, options] {
    command.ranks = Ranks::all;
    command.run = [options] { return bench_memory(*options); };
  });
}

}  // namespace switchyard
