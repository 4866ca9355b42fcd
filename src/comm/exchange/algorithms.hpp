// What make_exchange chooses from, and what the algorithms share: one file each beside this one.
#pragma once
#include <memory>

#include "comm/exchange.hpp"

namespace switchyard::comm {

std::unique_ptr<Exchange> make_pairwise(const Communicator& group);
std::unique_ptr<Exchange> make_alltoallv(const Communicator& group);

/// A row of `bytes` as one MPI element, so that counts are rows.
class RowType {
 public:
  explicit RowType(std::int64_t bytes);
  RowType(const RowType&) = delete;
  ~RowType();
  MPI_Datatype handle() const { return handle_; }

 private:
  MPI_Datatype handle_ = MPI_DATATYPE_NULL;
};

/// Throws Error{internal} unless `plan` fits a group of `ranks` in which this one is `rank`.
void check_plan(const RowPlan& plan, int ranks, int rank);

/// An itinerary on which every row goes straight to its rank.
Itinerary straight(const RowPlan& plan, int ranks, int rank);

/// An MPI tag within the 32767 that every MPI has: 3 bits of the step, 8 of the block, 2 of the lane, 2 of the journey.
/// Order alone matches the messages of successive flights; the tag turns a mismatch into a hang that names its place,
/// never into wrong rows.
int mpi_tag(ExchangeTag tag);

}  // namespace switchyard::comm
