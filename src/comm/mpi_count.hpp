// MPI counts with int: a clear error where a count does not fit, and rows as single elements so that bytes need not.
#pragma once
#include <mpi.h>

#include <cstdint>

namespace switchyard::comm {

/// `count` as MPI's int; Error{usage} naming `what` where it does not fit.
int mpi_count(std::int64_t count, const char* what);

/// A row of `bytes` (at least 1) as one MPI element, so that counts are rows.
class RowType {
 public:
  explicit RowType(std::int64_t bytes);
  RowType(const RowType&) = delete;
  ~RowType();
  MPI_Datatype handle() const { return handle_; }

 private:
  MPI_Datatype handle_ = MPI_DATATYPE_NULL;
};

}  // namespace switchyard::comm
