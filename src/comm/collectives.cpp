#include "comm/collectives.hpp"

#include <algorithm>
#include <limits>

#include "base/check.hpp"
#include "base/ledger.hpp"
#include "comm/mpi_count.hpp"

namespace switchyard::comm {
namespace {

constexpr std::int64_t max_count = std::numeric_limits<int>::max();

template <class T>
MPI_Datatype mpi_type() {
  if constexpr (std::is_same_v<T, double>) return MPI_DOUBLE;
  if constexpr (std::is_same_v<T, std::int64_t>) return MPI_INT64_T;
  if constexpr (std::is_same_v<T, char>) return MPI_CHAR;
}

/// What this rank gives to every other one.
void count_sent_to_all(const Communicator& comm, std::int64_t bytes) {
  for (int r = 0; r < comm.size(); ++r)
    if (r != comm.rank()) ledger::sent(comm.world_rank(r), bytes);
}

template <class T>
void all_reduce(const Communicator& comm, T* values, std::int64_t n, MPI_Op op) {
  count_sent_to_all(comm, n * static_cast<std::int64_t>(sizeof(T)));
  const activity::Waiting waiting(comm.members());
  for (std::int64_t at = 0; at < n; at += max_count)
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, values + at, static_cast<int>(std::min(n - at, max_count)), mpi_type<T>(), op,
                            comm.handle()));
}

/// How many values each rank has.
std::vector<std::int64_t> gather_counts(const Communicator& comm, std::int64_t mine) {
  std::vector<std::int64_t> counts(comm.size());
  count_sent_to_all(comm, sizeof mine);
  const activity::Waiting waiting(comm.members());
  check_mpi(MPI_Allgather(&mine, 1, MPI_INT64_T, counts.data(), 1, MPI_INT64_T, comm.handle()));
  return counts;
}

/// Where the values of each rank begin, and at the end how many there are.
std::vector<std::int64_t> begins(const std::vector<std::int64_t>& counts) {
  std::vector<std::int64_t> begin{0};
  for (const std::int64_t n : counts) begin.push_back(begin.back() + n);
  return begin;
}

/// All ranks' values in rank order; `counts[r]` of rank r.
template <class T>
std::vector<T> gather(const Communicator& comm, const T* mine, const std::vector<std::int64_t>& counts) {
  const std::vector<std::int64_t> begin = begins(counts);
  std::vector<T> all(begin.back());
  if (begin.back() <= max_count) {
    count_sent_to_all(comm, counts[comm.rank()] * static_cast<std::int64_t>(sizeof(T)));
    const std::vector<int> n(counts.begin(), counts.end()), at(begin.begin(), begin.end() - 1);
    const activity::Waiting waiting(comm.members());
    check_mpi(MPI_Allgatherv(mine, n[comm.rank()], mpi_type<T>(), all.data(), n.data(), at.data(), mpi_type<T>(),
                             comm.handle()));
    return all;
  }
  std::copy(mine, mine + counts[comm.rank()], all.data() + begin[comm.rank()]);
  for (int r = 0; r < comm.size(); ++r) broadcast(comm, all.data() + begin[r], counts[r] * sizeof(T), r);
  return all;
}

template <class T>
std::vector<T> gather(const Communicator& comm, const std::vector<T>& mine) {
  return gather(comm, mine.data(), gather_counts(comm, static_cast<std::int64_t>(mine.size())));
}

}  // namespace

void count_sent(const Communicator& comm, const std::vector<int>& counts, std::int64_t bytes) {
  for (int r = 0; r < comm.size(); ++r)
    if (r != comm.rank() && counts[r] > 0) ledger::sent(comm.world_rank(r), counts[r] * bytes);
}

void all_reduce_sum(const Communicator& comm, std::int64_t* values, std::int64_t n) {
  all_reduce(comm, values, n, MPI_SUM);
}

void all_reduce_max(const Communicator& comm, std::int64_t* values, std::int64_t n) {
  all_reduce(comm, values, n, MPI_MAX);
}

void all_reduce_max(const Communicator& comm, double* values, std::int64_t n) { all_reduce(comm, values, n, MPI_MAX); }

std::vector<double> all_gather(const Communicator& comm, const std::vector<double>& mine,
                               const std::vector<std::int64_t>& count_of) {
  expect(static_cast<int>(count_of.size()) == comm.size(), "a number of values for every rank");
  return gather(comm, mine.data(), count_of);
}

std::vector<std::int64_t> all_gather(const Communicator& comm, const std::vector<std::int64_t>& mine) {
  return gather(comm, mine);
}

std::vector<std::string> all_gather(const Communicator& comm, const std::string& mine) {
  const auto counts = gather_counts(comm, static_cast<std::int64_t>(mine.size()));
  const std::vector<char> text = gather(comm, mine.data(), counts);
  std::vector<std::string> all;
  for (auto at = text.begin(); const std::int64_t n : counts) all.emplace_back(at, at + n), at += n;
  return all;
}

void gather_elements(const Communicator& comm, const void* mine, const std::vector<std::int64_t>& count_of,
                     std::size_t element_bytes, void* all, std::int64_t round) {
  expect(static_cast<int>(count_of.size()) == comm.size(), "a number of elements for every rank");
  const MPI_Datatype type = element_bytes == 8 ? MPI_INT64_T : element_bytes == 4 ? MPI_INT32_T : MPI_BYTE;
  const auto bytes = static_cast<std::int64_t>(element_bytes);
  const std::vector<std::int64_t> begin = begins(count_of);
  std::vector<int> counts(count_of.size()), places(count_of.size());
  for (std::int64_t at = 0; at < begin.back(); at += round) {  // elements [at, at + round) of all
    for (std::size_t r = 0; r < counts.size(); ++r) {
      const std::int64_t first = std::clamp(begin[r], at, at + round), last = std::clamp(begin[r + 1], at, at + round);
      counts[r] = static_cast<int>(last - first), places[r] = static_cast<int>(first - at);
    }
    const std::int64_t sent = std::max<std::int64_t>(0, at - begin[comm.rank()]);
    if (comm.rank() != 0 && counts[comm.rank()] > 0) ledger::sent(comm.world_rank(0), counts[comm.rank()] * bytes);
    const activity::Waiting waiting(comm.members());
    check_mpi(MPI_Gatherv(static_cast<const char*>(mine) + (counts[comm.rank()] > 0 ? sent * bytes : 0),
                          counts[comm.rank()], type, static_cast<char*>(all) + (comm.rank() == 0 ? at * bytes : 0),
                          counts.data(), places.data(), type, 0, comm.handle()));
  }
}

void broadcast(const Communicator& comm, void* data, std::int64_t bytes, int root) {
  if (comm.rank() == root) count_sent_to_all(comm, bytes);
  const activity::Waiting waiting(comm.members());
  for (std::int64_t at = 0; at < bytes; at += max_count)
    check_mpi(MPI_Bcast(static_cast<char*>(data) + at, static_cast<int>(std::min(bytes - at, max_count)), MPI_BYTE,
                        root, comm.handle()));
}

std::string broadcast(const Communicator& comm, std::string text, int root) {
  auto size = static_cast<std::int64_t>(text.size());
  broadcast(comm, &size, sizeof size, root);
  text.resize(static_cast<std::size_t>(size));
  broadcast(comm, text.data(), size, root);
  return text;
}

std::vector<double> tree_all_reduce(const Communicator& comm, const std::vector<std::vector<TreeNode>>& nodes_of,
                                    const std::vector<double>& mine, std::int64_t n) {
  expect(static_cast<int>(nodes_of.size()) == comm.size(), "the nodes of every rank");
  expect(static_cast<std::int64_t>(mine.size()) == static_cast<std::int64_t>(nodes_of[comm.rank()].size()) * n,
         "n values of each of this rank's nodes");
  std::vector<TreeNode> nodes;
  std::vector<std::int64_t> counts;
  for (const auto& of : nodes_of) {
    nodes.insert(nodes.end(), of.begin(), of.end());
    counts.push_back(static_cast<std::int64_t>(of.size()) * n);
  }
  std::vector<double> all = gather(comm, mine.data(), counts);
  for (const auto& [into, from] : tree_additions(nodes))
    for (std::int64_t i = 0; i < n; ++i) all[into * n + i] += all[from * n + i];
  all.resize(n, 0.0);
  return all;
}

}  // namespace switchyard::comm
