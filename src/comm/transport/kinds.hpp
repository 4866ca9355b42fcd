// What make_transport chooses from: one file each beside this one.
#pragma once
#include <memory>

#include "comm/transport.hpp"

namespace switchyard::comm {

std::unique_ptr<Transport> make_mpi_transport(const Communicator& group);
/// Carries between ranks of one node only. Collective over `group`; nullptr on all of its ranks where some rank has no
/// memory to share or cannot read another's.
std::unique_ptr<Transport> make_window_transport(const Communicator& group, const Nodes& nodes);

}  // namespace switchyard::comm
