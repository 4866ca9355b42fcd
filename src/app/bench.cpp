// `switchyard bench`: what the program measures of itself.
#include <cstdio>
#include <map>
#include <memory>
#include <sstream>

#include "app/commands.hpp"
#include "app/launch.hpp"
#include "app/machine_file.hpp"
#include "bench/exchange.hpp"
#include "bench/machine.hpp"
#include "bench/step.hpp"
#include "bench/transports.hpp"
#include "comm/agree.hpp"

namespace switchyard {
namespace {

/// Notes of a command that keeps no log.
void print_notes(const Config& config, const KokkosSession& kokkos) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  for (const std::string& note : notes_of(config, kokkos))
    if (world.rank() == 0) std::fprintf(stderr, "switchyard: note: %s\n", note.c_str());
}

struct BenchOptions {
  std::string config;
  std::vector<std::string> overrides;
  bench::StepOptions steps;
  std::vector<std::string> with;
  std::vector<int> lanes{2, 4}, experts;
  std::string machine;  ///< file of descriptions; empty for none
  bool serve = false;   ///< steps by request
};

/// A configuration with more overrides, one string of words that blanks part.
bench::Variant variant_of(const BenchOptions& options, const std::string& more) {
  std::vector<std::string> all = options.overrides;
  std::istringstream words(more);
  for (std::string word; words >> word;) all.push_back(word);
  LoadResult loaded = load_on_all(options.config, all);
  train::Predict predict = predict_on_all(comm::Communicator::duplicate(MPI_COMM_WORLD), loaded);
  return {more, loaded.config, std::move(predict)};
}

/// The configuration with each of these; all valid, and of as many threads.
std::vector<bench::Variant> variants_of(const BenchOptions& options, const std::vector<std::string>& names) {
  std::vector<bench::Variant> all;
  for (const std::string& name : names) all.push_back(variant_of(options, name));
  comm::agree(comm::Communicator::duplicate(MPI_COMM_WORLD), [&] {
    for (const bench::Variant& variant : all) {
      const std::string with = variant.name.empty() ? "" : " with '" + variant.name + "'";
      check(variant.config.model.vocabulary > 0, Exit::usage,
            options.config + with + ": model.vocabulary: is 0 (a benchmark has no corpus to take it from); set it");
      check(variant.config.layout.threads == all.front().config.layout.threads, Exit::usage,
            options.config + with + ": layout.threads: is not " + std::to_string(all.front().config.layout.threads) +
                ", as steps beside each other must have it in common");
    }
  });
  return all;
}

/// What `print` does with them.
Exit measure(const std::vector<bench::Variant>& variants, const BenchOptions& options,
             Exit (*print)(const std::vector<bench::Variant>&, const bench::StepOptions&)) {
  const KokkosSession kokkos(variants.front().config.layout.threads);
  print_notes(variants.front().config, kokkos);
  return print(variants, options.steps);
}

Exit bench_step(const BenchOptions& options) {
  std::vector<std::string> names{""};
  if (options.serve) {
    const Config config = variants_of(options, names).front().config;
    const KokkosSession kokkos(config.layout.threads);
    print_notes(config, kokkos);
    return bench::serve_steps(config);
  }
  names.insert(names.end(), options.with.begin(), options.with.end());
  return measure(variants_of(options, names), options, bench::print_steps);
}

/// All lines of the table end with one loss, which nothing but a layout leaves as it is.
void require_layouts(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    std::istringstream words(name);
    for (std::string word; words >> word;)
      check(word.starts_with("layout."), Exit::usage,
            "--with " + word + ": changes more than the layout, so its loss is another; compare it by `bench step`");
  }
}

/// Serial and straight first, which says how much there is to hide.
Exit bench_overlap(const BenchOptions& options) {
  std::vector<std::string> names;
  const auto add = [&](const char* schedule, int lanes) {
    for (const char* exchange : {"pairwise", "node"})
      names.push_back(std::string("layout.schedule=") + schedule + " layout.lanes=" + std::to_string(lanes) +
                      " layout.exchange=" + exchange);
  };
  add("serial", 1);
  for (const int lanes : options.lanes) add("interleaved", lanes), add("pipelined", lanes);
  names.insert(names.end(), options.with.begin(), options.with.end());
  comm::agree(comm::Communicator::duplicate(MPI_COMM_WORLD), [&] { require_layouts(options.with); });
  const std::vector<bench::Variant> variants = variants_of(options, names);
  if (options.machine.empty()) return measure(variants, options, bench::print_overlap);
  const Config& config = variants.front().config;
  Config reference = bench::reference_of(config);
  reference.layout.ranks_per_node = config.layout.ranks_per_node;
  bench::MachineWatch watch(reference, {1, options.machine, config.layout.ranks_per_node, 4096});
  BenchOptions watched = options;
  watched.steps.between = [&watch] { watch.measure(); };
  return measure(variants, watched, bench::print_overlap);
}

Exit bench_determinism(const BenchOptions& options) {
  std::vector<std::string> names;
  for (const int experts : options.experts) names.push_back("moe.experts=" + std::to_string(experts));
  if (names.empty()) names = {""};
  return measure(variants_of(options, names), options, bench::print_determinism);
}

/// The enumerators of an enumeration of options, by their names.
template <class E>
std::map<std::string, E> by_name() {
  std::map<std::string, E> all;
  for (std::size_t i = 0; i < EnumNames<E>::names.size(); ++i) all[EnumNames<E>::names[i]] = static_cast<E>(i);
  return all;
}

void add_exchange(CLI::App& group, Command& command) {
  auto options = std::make_shared<bench::ExchangeOptions>();
  CLI::App* sub = group.add_subcommand(
      "exchange", "Rows and bytes across nodes, on made-up routing, beside closed forms; or times of transports");
  sub->add_option("--experts", options->experts, "E")->capture_default_str()->check(number_in(1, 32767));
  sub->add_option("--top-k", options->top_k, "k")->capture_default_str()->check(number_in(1, 32));
  sub->add_option("--limits", options->limits, "nodes that a token may use")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  sub->add_option("--tokens", options->tokens, "of each rank")->capture_default_str()->check(number_in(1, 1 << 20));
  sub->add_option("--width", options->width, "numbers of a row")->capture_default_str()->check(number_in(1, 1 << 16));
  sub->add_option("--json", options->json, "file to append the table to, one JSON line a row");
  auto times = std::make_shared<bench::TransportOptions>();
  CLI::Option* transport = sub->add_option("--transport", times->transports,
                                           "time these instead: all to all, beside alltoallv and broadcast");
  transport->delimiter(',')->transform(CLI::CheckedTransformer(by_name<TransportChoice>()));
  sub->add_option("--sizes", times->sizes, "bytes for each rank")
      ->delimiter(',')
      ->capture_default_str()
      ->needs(transport);
  sub->add_option("--rounds", times->rounds, "of all transports and sizes")
      ->capture_default_str()
      ->check(number_in(1, 1 << 20))
      ->needs(transport);
  sub->callback([&command, options, times] {
    command.ranks = Ranks::all;
    command.run = [options, times] {
      if (!times->transports.empty()) {
        times->json = options->json;
        const KokkosSession kokkos(1);
        return bench::measure_transports(*times);
      }
      const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
      comm::agree(world, [&] {
        check(options->top_k <= options->experts, Exit::usage,
              "--top-k is " + std::to_string(options->top_k) + ", more than the " + std::to_string(options->experts) +
                  " experts; lower it");
        for (const int limit : options->limits)
          check(limit >= 1, Exit::usage, "--limits has " + std::to_string(limit) + "; a token uses at least one node");
      });
      const KokkosSession kokkos(1);
      return bench::measure_exchange(*options);
    };
  });
}

struct BenchMachineOptions {
  std::string config;
  std::vector<std::string> overrides;
  bench::MachineOptions how;
};

Config reference_of(const BenchMachineOptions& options, int ranks) {
  if (options.config.empty()) return bench::reference_config(ranks);
  return bench::reference_of(load_on_all(options.config, options.overrides).config);
}

Exit bench_machine(const BenchMachineOptions& options) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  Config reference = reference_of(options, world.size());
  comm::agree(world, [&] {
    const int near = options.how.ranks_per_node;
    check(near == 0 || world.size() % near == 0, Exit::usage,
          "--ranks-per-node is " + std::to_string(near) + ", which does not divide the " +
              std::to_string(world.size()) + " ranks");
    check(reference.model.vocabulary > 0, Exit::usage,
          options.config + ": model.vocabulary: is 0 (a benchmark has no corpus to take it from); set it");
  });
  reference.layout.ranks_per_node = options.how.ranks_per_node;
  const KokkosSession kokkos(reference.layout.threads);
  print_notes(reference, kokkos);
  return bench::measure_machine(reference, options.how);
}

void add_machine(CLI::App& group, Command& command) {
  auto options = std::make_shared<BenchMachineOptions>();
  CLI::App* sub = group.add_subcommand(
      "machine", "Products, stages of a step and messages on the ranks and nodes that it is started on, for `plan`");
  sub->add_option("config", options->config,
                  "configuration whose model's stages are measured; without one a small one");
  sub->add_option("overrides", options->overrides, "section.key=value");
  sub->add_option("--out", options->how.out, "file to write the description to, YAML; without one it is printed");
  sub->add_option("--repetitions", options->how.repetitions, "of each measurement")
      ->capture_default_str()
      ->check(number_in(1, 1000));
  sub->add_option("--message", options->how.message_kib, "KiB of the messages whose bandwidth is measured")
      ->capture_default_str()
      ->check(number_in(1, 1 << 20));
  sub->add_option("--ranks-per-node", options->how.ranks_per_node,
                  "contiguous ranks that count as one node; 0: those that share memory")
      ->capture_default_str()
      ->check(number_in(0, 1 << 14));
  sub->callback([&command, options] {
    command.ranks = Ranks::all;
    command.run = [options] { return bench_machine(*options); };
  });
}

/// A benchmark of whole steps; the caller says what is done.
CLI::App* add_steps(CLI::App& group, Command& command, const char* name, const char* help,
                    Exit (*run)(const BenchOptions&), const std::shared_ptr<BenchOptions>& options) {
  CLI::App* sub = group.add_subcommand(name, help);
  sub->add_option("config", options->config, "configuration file")->required();
  sub->add_option("overrides", options->overrides, "section.key=value");
  sub->add_option("--warmup", options->steps.warmup, "steps before the measurement")
      ->capture_default_str()
      ->check(number_in(0, 1 << 20));
  sub->add_option("--repetitions", options->steps.repetitions, "steps measured")
      ->capture_default_str()
      ->check(number_in(1, 1 << 20));
  sub->add_option("--json", options->steps.json, "file to append the results to, one JSON line each");
  sub->callback([&command, options, run] {
    command.ranks = Ranks::all;
    command.run = [options, run] { return run(*options); };
  });
  return sub;
}

/// Who asks says how many steps, and keeps what they took.
void add_serve(CLI::App& step, BenchOptions& options) {
  CLI::Option* serve = step.add_flag("--serve", options.serve,
                                     "steps by request: reads lines 'run N', answers milliseconds as JSON lines");
  for (const char* other : {"--with", "--warmup", "--repetitions", "--json"}) serve->excludes(step.get_option(other));
}

}  // namespace

void add_bench(CLI::App& app, Command& command) {
  CLI::App* group = app.add_subcommand("bench", "Measure");
  group->require_subcommand(1);
  add_exchange(*group, command);
  add_machine(*group, command);
  add_bench_layer(*group, command);
  add_bench_memory(*group, command);
  const auto steps = std::make_shared<BenchOptions>(), overlap = std::make_shared<BenchOptions>(),
             determinism = std::make_shared<BenchOptions>();
  const auto add_with = [](CLI::App* sub, BenchOptions& options) {
    sub->add_option("--with", options.with, "'section.key=value ...' that is measured too, in turn; may be given again")
        ->allow_extra_args(false);
  };
  CLI::App* step = add_steps(*group, command, "step", "Tokens per second of whole training steps on random tokens",
                             bench_step, steps);
  add_with(step, *steps);
  add_serve(*step, *steps);
  CLI::App* overlaps =
      add_steps(*group, command, "overlap",
                "How much of the communication of a step its schedules hide, beside the bound", bench_overlap, overlap);
  add_with(overlaps, *overlap);
  overlaps->add_option(
      "--machine", overlap->machine,
      "FILE.yaml: describes the machine too, before the steps that are measured and after each turn of "
      "them, in FILE-1.yaml, FILE-2.yaml and so on, for `plan`");
  overlaps->add_option("--lanes", overlap->lanes, "of the schedules that overlap")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str()
      ->check(number_in(1, 1024));
  add_steps(*group, command, "determinism", "What the same bits on every layout cost (train.determinism)",
            bench_determinism, determinism)
      ->add_option("--experts", determinism->experts, "moe.experts of the lines of the table")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(number_in(1, 32767));
}

}  // namespace switchyard
