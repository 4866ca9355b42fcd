// `switchyard bench step` and `switchyard bench exchange`: the speed of whole training steps, and of exchanges.
#include <cstdio>
#include <memory>

#include "app/commands.hpp"
#include "app/launch.hpp"
#include "bench/exchange.hpp"
#include "bench/step.hpp"
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
  return bench::measure_step(loaded.config, options.warmup, options.repetitions, options.json);
}

/// What bench exchange is asked on the command line.
struct ExchangeOptions {
  std::string sizes = "4096,16384,65536,262144,1048576,4194304,16777216,67108864";
  std::string exchanges = join(EnumNames<ExchangeKind>::names, ","),
              transports = join(EnumNames<TransportChoice>::names, ",");
  int repetitions = 21;
  std::string json;
};

template <class T>
std::vector<T> values_of(const std::string& list) {
  std::vector<T> values;
  for (const std::string& part : list_parts(list)) parse_value(part, values.emplace_back());
  return values;
}

Exit bench_exchange(const ExchangeOptions& options) {
  bench::ExchangeQuestion question{values_of<std::int64_t>(options.sizes), values_of<ExchangeKind>(options.exchanges),
                                   values_of<TransportChoice>(options.transports), options.repetitions, options.json};
  comm::agree(comm::Communicator::duplicate(MPI_COMM_WORLD), [&] {
    for (const std::int64_t bytes : question.sizes)
      check(
          bytes % bench::exchange_row == 0, Exit::usage,
          "--bytes: " + std::to_string(bytes) + " is not a multiple of 1024 (rows have 1024 bytes); take one that is");
  });
  return bench::measure_exchange(question);
}

void add_exchange(CLI::App& group, Command& command) {
  auto options = std::make_shared<ExchangeOptions>();
  CLI::App* sub =
      group.add_subcommand("exchange", "Rows from all ranks to all, by every exchange and transport in turn");
  sub->add_option("--bytes", options->sizes, "bytes from each rank to each other, a list of multiples of 1024")
      ->capture_default_str()
      ->check(list_of(number_in(std::int64_t{1024}, std::int64_t{1} << 30)));
  sub->add_option("--exchange", options->exchanges, "exchanges beside alltoallv, a list")
      ->capture_default_str()
      ->check(list_of(one_of(EnumNames<ExchangeKind>::names)));
  sub->add_option("--transport", options->transports, "their transports, a list")
      ->capture_default_str()
      ->check(list_of(one_of(EnumNames<TransportChoice>::names)));
  sub->add_option("--repetitions", options->repetitions, "times that each is measured")
      ->capture_default_str()
      ->check(number_in(1, 1 << 20));
  sub->add_option("--json", options->json, "file to append the result to, one JSON line");
  sub->callback([&command, options] {
    command.ranks = Ranks::all;
    command.run = [options] { return bench_exchange(*options); };
  });
}

}  // namespace

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
  add_exchange(*group, command);
}

}  // namespace switchyard
