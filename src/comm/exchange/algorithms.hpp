// What make_exchange chooses from, and what the algorithms share: one file each beside this one.
#pragma once
#include <memory>

#include "comm/exchange.hpp"
#include "comm/transfers.hpp"

namespace switchyard::comm {

std::unique_ptr<Exchange> make_pairwise(Transports transports);
std::unique_ptr<Exchange> make_alltoallv(const Communicator& group);

/// These plans, on which every row goes straight to its rank. Throws Error{internal} unless they fit a group of `ranks`
/// in which this one is `rank`.
Itinerary checked(const Itinerary& plans, int ranks, int rank);

/// An MPI tag within the 32767 that every MPI has: 2 bits of the step, 8 of the block, 2 of the lane, 3 of the journey.
/// Order alone matches the messages of successive flights; the tag turns a mismatch into a hang that names its place,
/// never into wrong rows.
int mpi_tag(ExchangeTag tag);

}  // namespace switchyard::comm
