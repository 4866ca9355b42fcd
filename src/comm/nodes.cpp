#include "comm/nodes.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "comm/collectives.hpp"

namespace switchyard::comm {

int Nodes::count() const { return of.empty() ? 0 : *std::max_element(of.begin(), of.end()) + 1; }

int Nodes::even_share(int ranks) const {
  int share = 0;
  while (share < ranks && of[share] == of[0]) ++share;
  if (ranks % share != 0) return 0;
  for (std::size_t group = 0; group < of.size(); group += ranks) {
    std::set<int> met;
    for (std::size_t first = group; first < group + ranks; first += share) {
      if (!met.insert(of[first]).second) return 0;
      for (std::size_t r = first; r < first + share; ++r)
        if (of[r] != of[first]) return 0;
    }
  }
  return share;
}

Nodes find_nodes(const Communicator& comm, int ranks_per_node) {
  Nodes nodes;
  if (ranks_per_node > 0) {
    for (int r = 0; r < comm.size(); ++r) nodes.of.push_back(r / ranks_per_node);
    return nodes;
  }
  const Communicator node = comm.split_shared();  // ranks in their order
  std::int64_t lowest = comm.rank();
  const activity::Waiting waiting(node.members());
  check_mpi(MPI_Bcast(&lowest, 1, MPI_INT64_T, 0, node.handle()));
  std::map<std::int64_t, int> number;
  for (const std::int64_t first : all_gather(comm, std::vector<std::int64_t>{lowest}))
    nodes.of.push_back(number.emplace(first, static_cast<int>(number.size())).first->second);
  return nodes;
}

}  // namespace switchyard::comm
