// What make_transport chooses from: one file each beside this one.
#pragma once
#include <cstdint>
#include <memory>

#include "comm/nodes.hpp"
#include "comm/transport.hpp"

namespace switchyard::comm {

std::unique_ptr<Transport> make_mpi_transport(const Communicator& group);
/// For the pairs of ranks on one node. AgreedError{usage} where their node has no memory to share.
std::unique_ptr<Transport> make_window_transport(const Communicator& group, const Nodes& nodes);

/// What a rank gives the window of a group that has `ranks` ranks on its node.
std::int64_t window_bytes(int ranks);

}  // namespace switchyard::comm
