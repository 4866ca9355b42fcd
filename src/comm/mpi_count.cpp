#include "comm/mpi_count.hpp"

#include <limits>
#include <string>

#include "base/check.hpp"
#include "comm/communicator.hpp"

namespace switchyard::comm {

int mpi_count(std::int64_t count, const char* what) {
  check(count >= 0 && count <= std::numeric_limits<int>::max(), Exit::usage,
        std::to_string(count) + " " + what +
            " (MPI counts at most 2147483647 in one message); use more ranks or a smaller batch");
  return static_cast<int>(count);
}

RowType::RowType(std::int64_t bytes) {
  expect(bytes > 0, "rows of at least one byte");
  check_mpi(MPI_Type_contiguous(mpi_count(bytes, "bytes of a row"), MPI_BYTE, &handle_));
  check_mpi(MPI_Type_commit(&handle_));
}

RowType::~RowType() {
  if (handle_ != MPI_DATATYPE_NULL) MPI_Type_free(&handle_);  // transfers under way keep it alive
}

}  // namespace switchyard::comm
