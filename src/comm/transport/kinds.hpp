// What make_transport chooses from: one file each beside this one.
#pragma once
#include <memory>

#include "comm/transport.hpp"

namespace switchyard::comm {

std::unique_ptr<Transport> make_mpi_transport(const Communicator& group);

}  // namespace switchyard::comm
