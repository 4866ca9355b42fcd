#include "comm/transfers.hpp"

#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>

#include "base/check.hpp"

namespace switchyard::comm {
namespace {

std::vector<std::unique_ptr<Transport>> only(std::unique_ptr<Transport> transport) {
  std::vector<std::unique_ptr<Transport>> all;
  all.push_back(std::move(transport));
  return all;
}

std::int64_t pairs_on_nodes(const Nodes& nodes) {
  std::int64_t pairs = 0;
  for (std::size_t a = 0; a < nodes.of.size(); ++a)
    for (std::size_t b = a + 1; b < nodes.of.size(); ++b) pairs += nodes.of[a] == nodes.of[b];
  return pairs;
}

void require_one_node(const Nodes& nodes) {
  for (std::size_t r = 1; r < nodes.of.size(); ++r)
    if (nodes.of[r] != nodes.of[0])
      throw AgreedError(Exit::usage, "layout.transport: is window, but ranks 0 and " + std::to_string(r) +
                                         " of an expert-parallel group are on different nodes (only the ranks of one "
                                         "node share memory); set it to auto, or make layout.expert_parallel smaller");
}

}  // namespace

Transports::Transports(const Communicator& group, std::vector<std::unique_ptr<Transport>> made,
                       std::vector<int> index_of, Picked picked)
    : group_(group), made_(std::move(made)), index_of_(std::move(index_of)), picked_(std::move(picked)) {
  expect(!made_.empty() && static_cast<int>(index_of_.size()) == group.size(), "a transport for every rank");
  for (const int i : index_of_) expect(i >= 0 && i < static_cast<int>(made_.size()), "a transport that was made");
  for (const auto& transport : made_) expect(transport->memory() == memory(), "transports that work in one memory");
}

Transports::Transports(const Communicator& group, TransportKind kind)
    : Transports(group, only(make_transport(kind, group, find_nodes(group))), std::vector<int>(group.size(), 0)) {}

Transports make_transports(const Communicator& group, const Nodes& nodes, TransportChoice choice) {
  const std::int64_t pairs = std::int64_t{group.size()} * (group.size() - 1) / 2, on_nodes = pairs_on_nodes(nodes);
  if (choice == TransportChoice::window) require_one_node(nodes);
  std::vector<std::unique_ptr<Transport>> made;
  std::vector<int> index_of(group.size(), 0);
  Picked picked;
  if (choice == TransportChoice::window && pairs > 0) {
    made.push_back(make_transport(TransportKind::window, group, nodes));
    picked.by_window = pairs;
    return {group, std::move(made), std::move(index_of), std::move(picked)};
  }
  picked.by_mpi = pairs;
  made.push_back(make_transport(TransportKind::mpi, group, nodes));
  if (choice == TransportChoice::auto_ && on_nodes > 0) try {
      made.push_back(make_transport(TransportKind::window, group, nodes));
      picked = {on_nodes, pairs - on_nodes, longest_by_window, ""};
      for (int r = 0; r < group.size(); ++r) index_of[r] = r != group.rank() && nodes.together(r, group.rank());
    } catch (const AgreedError& error) {
      picked.note = std::string("ranks of one node send by MPI, not through memory that they share: ") + error.what();
    }
  return {group, std::move(made), std::move(index_of), std::move(picked)};
}

Transfers::Transfers(Transports& transports, std::int64_t row_bytes)
    : transports_(transports), exceptions_(std::uncaught_exceptions()), row_bytes_(row_bytes) {
  for (const auto& transport : transports.made()) requests_.push_back(transport->begin(row_bytes));
}

Transfers::~Transfers() {
  if (!under_way_) return;
  const std::size_t left = under_way_;
  std::string why = "an error ended a rank";
  try {
    if (std::uncaught_exceptions() == exceptions_) {
      wait();
      return;
    }
  } catch (const Error& error) {
    why = error.what();
  }
  std::fprintf(stderr, "switchyard: %s while %zu of its transfers were under way\n", why.c_str(), left);
  activity::leave();
  MPI_Abort(transports_.group().handle(), static_cast<int>(Exit::internal));
}

void Transfers::receive(void* buffer, std::int64_t rows, int from, int tag) {
  requests_[transports_.index_of(from, rows * row_bytes_)]->receive(buffer, rows, from, tag);
  ++under_way_;
}

void Transfers::send(const void* buffer, std::int64_t rows, int to, int tag) {
  requests_[transports_.index_of(to, rows * row_bytes_)]->send(buffer, rows, to, tag);
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
  while (!poll())
    if (waiting.asked()) waiting.answer(incomplete());
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
