#include "comm/transfers.hpp"

#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "base/check.hpp"
#include "base/clock.hpp"
#include "base/failure.hpp"
#include "base/ledger.hpp"

namespace switchyard::comm {
namespace {

/// Seconds for which a rank that waits keeps its core, which the rank that it waits for may share: about what a short
/// message takes from core to core.
constexpr double patience = 1e-6;

std::optional<Error> unwound_by;  // this rank

/// "rank 2 of 4": of the world, since a group's would say little.
std::string who() {
  int rank = 0, ranks = 0;
  check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank));
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &ranks));
  return "rank " + std::to_string(rank) + " of " + std::to_string(ranks);
}

/// What MPI still holds of earlier messages leaves in its calls only, and the rank that is waited for may need it.
void let_mpi_progress(const Communicator& group) {
  int found = 0;
  check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, group.handle(), &found, MPI_STATUS_IGNORE));
}

std::vector<std::unique_ptr<Transport>> only(std::unique_ptr<Transport> transport) {
  std::vector<std::unique_ptr<Transport>> all;
  all.push_back(std::move(transport));
  return all;
}

}  // namespace

Transports::Transports(const Communicator& group, std::vector<std::unique_ptr<Transport>> made,
                       std::vector<int> index_of)
    : group_(group), made_(std::move(made)), index_of_(std::move(index_of)) {
  for (const auto& transport : made_) expect(transport != nullptr, "a transport that could be made");
  expect(!made_.empty() && static_cast<int>(index_of_.size()) == group.size(), "a transport for every rank");
  for (const int i : index_of_) expect(i >= 0 && i < static_cast<int>(made_.size()), "a transport that was made");
  for (const auto& transport : made_) expect(transport->memory() == memory(), "transports that work in one memory");
}

Transports::Transports(const Communicator& group, TransportKind kind)
    : Transports(group,
                 only(make_transport(kind, group, kind == TransportKind::window ? find_nodes(group, 0) : Nodes{})),
                 std::vector<int>(group.size(), 0)) {}

Transports make_transports(const Communicator& group, TransportChoice choice) {
  static const std::string fault =
      "the ranks of a node cannot read each other's memory (memfd_create, or /proc/PID/fd of another rank, which "
      "containers of their own and some security settings forbid)";
  const Nodes nodes = find_nodes(group, 0);
  std::vector<std::unique_ptr<Transport>> made = only(make_transport(TransportKind::mpi, group, nodes));
  std::vector<int> index_of(group.size(), 0);
  Picked picked;
  const bool asked = choice != TransportChoice::mpi && nodes.count() < group.size();
  if (auto window = asked ? make_transport(TransportKind::window, group, nodes) : nullptr) {
    made.push_back(std::move(window));
    for (int r = 0; r < group.size(); ++r) index_of[r] = r != group.rank() && nodes.together(r, group.rank());
  } else if (asked) {
    check(choice != TransportChoice::window, Exit::usage,
          "layout.transport is window (" + fault + "); set it to mpi, or to auto, which then takes mpi");
    picked.note = fault;
  }
  picked.by_window = std::count(index_of.begin(), index_of.end(), 1);
  picked.by_mpi = group.size() - 1 - picked.by_window;
  Transports transports(group, std::move(made), std::move(index_of));
  transports.picked_ = std::move(picked);
  return transports;
}

void told_if_unwound(const std::function<void()>& work) {
  unwound_by.reset();
  try {
    work();
  } catch (const std::exception& error) {
    unwound_by = as_error(error);
    throw;
  }
}

void wait_or_end_run(const Communicator& group, int exceptions, const std::string& what,
                     const std::function<void()>& wait) {
  Error why = unwound_by.value_or(Error(Exit::internal, "an error ended it"));
  try {
    if (std::uncaught_exceptions() == exceptions) {
      wait();
      return;
    }
  } catch (const Error& error) {
    why = error;
  }
  std::fprintf(stderr, "switchyard: %s: %s; %s under way\n", who().c_str(), why.what(), what.c_str());
  activity::leave();
  MPI_Abort(group.handle(), static_cast<int>(why.code()));
}

Transfers::Transfers(Transports& transports, std::int64_t row_bytes)
    : transports_(transports), row_bytes_(row_bytes), exceptions_(std::uncaught_exceptions()) {
  for (const auto& transport : transports.made()) requests_.push_back(transport->begin(row_bytes));
}

Transfers::~Transfers() {
  if (under_way_)
    wait_or_end_run(transports_.group(), exceptions_, std::to_string(under_way_) + " of its transfers were",
                    [this] { wait(); });
}

void Transfers::receive(void* buffer, std::int64_t rows, int from, int tag) {
  requests_[transports_.index_of(from)]->receive(buffer, rows, from, tag);
  ++under_way_;
}

void Transfers::send(const void* buffer, std::int64_t rows, int to, int tag) {
  requests_[transports_.index_of(to)]->send(buffer, rows, to, tag);
  ledger::sent(transports_.group().world_rank(to), rows * row_bytes_);
  ++under_way_;
}

bool Transfers::poll() {
  bool complete = true;
  for (const auto& of : requests_) complete = of->poll() && complete;
  if (complete) under_way_ = 0;
  return complete;
}

// Polled in turn: a peer may need the progress of one transport to come to the other, and the watchdog may ask.
void Transfers::wait() {
  activity::Waiting waiting(transports_.group().members(), activity::Wait::messages);
  if (requests_.size() == 1) under_way_ = 0;  // also where an error ends the wait
  const double until = now() + patience;
  while (!poll()) {
    if (waiting.asked()) waiting.answer(incomplete());
    if (now() < until) continue;
    let_mpi_progress(transports_.group());
    std::this_thread::yield();
  }
}

/// Ranks of the world, each once.
std::vector<int> Transfers::incomplete() const {
  std::vector<int> ranks;
  for (const auto& of : requests_) of->add_incomplete(ranks);
  for (int& rank : ranks) rank = transports_.group().world_rank(rank);
  std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  return ranks;
}

}  // namespace switchyard::comm
