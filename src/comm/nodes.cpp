#include "comm/nodes.hpp"

#include <map>

#include "comm/collectives.hpp"

namespace switchyard::comm {

Nodes find_nodes(const Communicator& comm) {
  const Communicator node = comm.split_shared();  // ranks in their order
  std::int64_t lowest = comm.rank();
  broadcast(node, &lowest, sizeof lowest, 0);
  Nodes nodes;
  std::map<std::int64_t, int> number;
  for (const std::int64_t first : all_gather(comm, std::vector<std::int64_t>{lowest}))
    nodes.of.push_back(number.emplace(first, static_cast<int>(number.size())).first->second);
  return nodes;
}

}  // namespace switchyard::comm
