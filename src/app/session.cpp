#include "app/session.hpp"

#include <mpi.h>
#include <sched.h>
#include <unistd.h>

#include <Kokkos_Core.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>

#include "base/activity.hpp"
#include "base/failure.hpp"
#include "base/output.hpp"
#include "comm/collectives.hpp"

namespace switchyard {
namespace {

// Less than MPI takes to start: it follows null pointers where memory ends, so that is found before it.
constexpr std::size_t spare_bytes = std::size_t{64} << 20;

/// What users got wrong starts with its own place (file:line:column), the rest with the program's name.
void print_error(const Error& e) {
  std::fprintf(stderr, "%s%s\n", e.code() == Exit::usage ? "" : "switchyard: ", e.what());
}

/// What was printed must have arrived: where it did not, that is said, and ok becomes storage.
Exit with_output(Exit code) {
  const std::string loss = output::take_loss();
  if (loss.empty()) return code;
  std::fprintf(stderr, "switchyard: %s\n", loss.c_str());
  return code == Exit::ok ? Exit::storage : code;
}

/// The code that rank 0 has, on every rank.
Exit of_rank_0(const Session& session, const std::function<Exit()>& work) {
  int code = session.rank() == 0 ? static_cast<int>(work()) : 0;
  comm::check_mpi(MPI_Bcast(&code, 1, MPI_INT, 0, MPI_COMM_WORLD));
  return static_cast<Exit>(code);
}

/// "switchyard: rank 2 of 4 on node7: ".
std::string head_of(const Session& session) {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  return "switchyard: rank " + std::to_string(session.rank()) + " of " + std::to_string(session.size()) + " on " +
         host.data() + ": ";
}

/// Ends the job: the other ranks do not know of the error and may wait for this one.
Exit end_all(const Session& session, const Error& e) {
  if (session.size() == 1) {
    print_error(e);
    return e.code();
  }
  std::fprintf(stderr, "%s%s\n", head_of(session).c_str(), e.what());
  std::fflush(nullptr);
  activity::leave();
  MPI_Abort(MPI_COMM_WORLD, static_cast<int>(e.code()));
  return e.code();
}

int usable_cores() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                     : static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
}

/// One sentence about the threads and one about the devices of this node, where there is something to say.
std::vector<std::string> shortages(const comm::Communicator& node, int threads) {
  std::vector<std::string> notes;
  const int given = Kokkos::DefaultHostExecutionSpace().concurrency(), cores = usable_cores();
  const int online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  if (given != threads)
    notes.push_back("layout.threads is " + std::to_string(threads) + ", but this build runs " + std::to_string(given) +
                    " thread a rank (" + Kokkos::DefaultHostExecutionSpace::name() + ")");
  else if (threads > cores)
    notes.push_back(std::to_string(threads) + " threads a rank share " + std::to_string(cores) +
                    (cores == 1 ? " core" : " cores") +
                    " (the launcher bound the rank to them, or the machine has no more)");
  else if (node.size() * threads > online)
    notes.push_back(std::to_string(node.size()) + " ranks of " + std::to_string(threads) + " threads share the " +
                    std::to_string(online) + " cores of a node");
  if (const int devices = Kokkos::num_devices(); devices > 0 && node.size() > devices)
    notes.push_back(std::to_string(node.size()) + " ranks share the " + std::to_string(devices) + " devices of a node");
  return notes;
}

/// What some rank has to say, each sentence once, in the order of the ranks.
std::vector<std::string> gather_notes(const comm::Communicator& world, const std::vector<std::string>& mine) {
  std::string text;
  for (const std::string& note : mine) text += note + "\n";
  std::vector<std::string> all;
  for (const std::string& rank : comm::all_gather(world, text)) {
    std::istringstream lines(rank);
    for (std::string line; std::getline(lines, line);)
      if (std::find(all.begin(), all.end(), line) == all.end()) all.push_back(line);
  }
  return all;
}

/// What Open MPI is told as a process without a launcher starts: no daemon, for which it wants ssh, and no folder of
/// the session, which all such processes of a user share and remove under one another. Not told to what this one
/// launches.
class Alone {
 public:
  explicit Alone(bool alone) {
    if (!alone) return;
    for (const auto& [name, value] :
         {std::pair("OMPI_MCA_ess_singleton_isolated", "1"), std::pair("OMPI_MCA_orte_create_session_dirs", "0")})
      if (!std::getenv(name) && setenv(name, value, 0) == 0) set_.push_back(name);
  }
  ~Alone() {
    for (const char* name : set_) unsetenv(name);
  }
  Alone(const Alone&) = delete;
  Alone& operator=(const Alone&) = delete;

 private:
  std::vector<const char*> set_;
};

}  // namespace

bool launched_in_parallel() {
  for (const char* name : {"PMIX_RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK"})
    if (std::getenv(name)) return true;
  return false;
}

Session::Session(int& argc, char**& argv) {
  const Alone alone(!launched_in_parallel());
  require_memory(spare_bytes, "MPI");
  int provided = 0;
  comm::check_mpi(MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided));
  check(provided >= MPI_THREAD_FUNNELED, Exit::usage,
        "this MPI works without threads only (MPI_THREAD_FUNNELED is needed); build it with threads, or load another");
  comm::check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank_));
  comm::check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size_));
}

Session::~Session() { MPI_Finalize(); }

KokkosSession::KokkosSession(int threads) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD), node = world.split_shared();
  Kokkos::InitializationSettings settings;
  settings.set_num_threads(threads).set_disable_warnings(true);  // what matters is in notes()
  if (const int devices = Kokkos::num_devices(); devices > 0) settings.set_device_id(node.rank() % devices);
  Kokkos::initialize(settings);
  notes_ = gather_notes(world, shortages(node, threads));
}

KokkosSession::~KokkosSession() { Kokkos::finalize(); }

Exit run_on_all_ranks(const Session& session, const std::function<Exit()>& command) {
  Exit code = Exit::ok;
  try {
    code = command();
  } catch (const AgreedError& e) {
    if (session.rank() == 0) print_error(e);
    code = e.code();
  } catch (const std::exception& e) {
    code = end_all(session, as_error(e));
  }
  return of_rank_0(session, [&] { return with_output(code); });
}

Exit run_on_root(const Session& session, const std::function<Exit()>& command) {
  return of_rank_0(session, [&] { return run_alone(command); });
}

Exit run_alone(const std::function<Exit()>& command) {
  Exit code = Exit::ok;
  try {
    code = command();
  } catch (const std::exception& e) {
    const Error error = as_error(e);
    print_error(error);
    code = error.code();
  }
  return with_output(code);
}

}  // namespace switchyard
