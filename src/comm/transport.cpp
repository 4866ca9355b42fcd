#include "comm/transport.hpp"

#include "base/check.hpp"
#include "comm/transport/kinds.hpp"

namespace switchyard::comm {

std::unique_ptr<Transport> make_transport(TransportKind kind, const Communicator& group, const Nodes& nodes) {
  switch (kind) {
    case TransportKind::mpi:
      return make_mpi_transport(group);
    case TransportKind::window:
      return make_window_transport(group, nodes);
  }
  throw Error(Exit::internal, "a transport without a line in make_transport");
}

}  // namespace switchyard::comm
