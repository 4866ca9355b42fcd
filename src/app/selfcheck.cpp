// `switchyard selfcheck`: whether this machine and build compute the published bits (contract C1).
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>

#include "app/commands.hpp"
#include "app/session.hpp"
#include "base/files.hpp"
#include "comm/agree.hpp"
#include "record/provenance.hpp"
#include "tensor/products/library.hpp"
#include "train/bits.hpp"
#include "train/golden.hpp"

namespace switchyard {
namespace {

struct SelfcheckOptions {
  int ranks = 0;  ///< 0: those that it was started on
  int threads = 1;
  bool all = false, print = false;
};

/// Starts the same command on several ranks in place of this process; returns only by throwing.
Exit start_again(const SelfcheckOptions& options, std::vector<std::string> command_line) {
  command_line[0] = std::filesystem::read_symlink("/proc/self/exe").string();
  std::vector<std::string> words{"mpirun", "--oversubscribe", "-n", std::to_string(options.ranks)};
  words.insert(words.end(), command_line.begin(), command_line.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  for (const int number : {SIGPIPE, SIGXFSZ}) std::signal(number, SIG_DFL);  // as a shell would start it
  execvp("mpirun", arguments.data());
  if (errno == ENOENT)
    throw Error(Exit::usage, "mpirun is not there, which --ranks starts; use your launcher: srun switchyard selfcheck");
  files::throw_system_error(errno, "start", "mpirun");
}

void print_run(const train::GoldenRun& run, const std::vector<std::string>& found) {
  for (const std::string& line : found) std::printf("%s | %s\n", run.name.c_str(), line.c_str());
  std::fflush(stdout);
}

/// A run on all ranks together, and before that on each alone: with more ranks than grains some would have no products.
std::size_t check_run(const comm::Communicator& world, const train::GoldenRun& run) {
  if (world.size() > 1)
    train::require_published(world, run.name,
                             train::trained_bits(run.config, comm::Communicator::duplicate(MPI_COMM_SELF)));
  const auto found = train::trained_bits(run.config, comm::Communicator::duplicate(MPI_COMM_WORLD));
  train::require_published(world, run.name, found);
  return found.size();
}

/// The runs that are asked for.
std::vector<train::GoldenRun> chosen_runs(const SelfcheckOptions& options) {
  std::vector<train::GoldenRun> runs = train::golden_runs();
  if (!options.all) runs.resize(1);
  for (train::GoldenRun& run : runs) run.config.layout.threads = options.threads;
  return runs;
}

Exit print_runs(const comm::Communicator& world, const SelfcheckOptions& options) {
  const std::string products = products::bits_depend_on();
  if (world.rank() == 0 && !products.empty()) std::printf("# products: %s\n", products.c_str());
  for (const train::GoldenRun& run : chosen_runs(options)) {
    const auto found = train::trained_bits(run.config, comm::Communicator::duplicate(MPI_COMM_WORLD));
    if (world.rank() == 0) print_run(run, found);
  }
  return Exit::ok;
}

Exit selfcheck_command(const SelfcheckOptions& options) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  comm::agree(world, [&] {
    check(options.ranks == 0 || options.ranks == world.size(), Exit::usage,
          "--ranks is " + std::to_string(options.ranks) + ", but it was started on " + std::to_string(world.size()) +
              "; leave it out");
  });
  const KokkosSession kokkos(options.threads);
  record::require_one_kind(record::what_computes(world));
  if (options.print) return print_runs(world, options);
  const std::string products = products::bits_depend_on(), published = train::published_products();
  if (published != products) {
    if (world.rank() == 0)
      std::printf(
          "nothing to compare: the published bits are those of %s, and this is %s; compare two machines with "
          "switchyard selfcheck --print\n",
          published.c_str(), products.c_str());
    return Exit::ok;
  }
  std::size_t digests = 0;
  const auto runs = chosen_runs(options);
  for (const train::GoldenRun& run : runs) digests += check_run(world, run);
  if (world.rank() == 0)
    std::printf("the published bits: %zu digests of %zu %s, on %d %s of %d %s%s, %s\n", digests, runs.size(),
                runs.size() == 1 ? "run" : "runs", world.size(), world.size() == 1 ? "rank" : "ranks", options.threads,
                options.threads == 1 ? "thread" : "threads", world.size() == 1 ? "" : ", each alone and all together",
                products::description());
  return Exit::ok;
}

}  // namespace

void add_selfcheck(CLI::App& app, Command& command) {
  auto options = std::make_shared<SelfcheckOptions>();
  CLI::App* sub = app.add_subcommand("selfcheck", "Train a small run and compare its bits with the published ones");
  sub->add_option("--ranks", options->ranks,
                  "start it on this many ranks with mpirun; without it, on one, or on those "
                  "that a launcher started")
      ->check(number_in(1, 1 << 14));
  sub->add_option("--threads", options->threads, "threads of a rank")
      ->capture_default_str()
      ->check(number_in(1, 1 << 10));
  sub->add_flag("--all", options->all, "all published runs, not only the first");
  sub->add_flag("--print", options->print, "print the digests instead of comparing them");
  sub->callback([&command, options] {
    const bool here = options->ranks <= 1 || launched_in_parallel();
    command.ranks = here ? Ranks::all : Ranks::root;
    command.run = [options, here, line = command.command_line] {
      return here ? selfcheck_command(*options) : start_again(*options, line);
    };
  });
}

}  // namespace switchyard
