// results.h5: what the finished tasks of a sweep measured, in one tidy table.
#pragma once
#include <string>
#include <vector>

#include "base/check.hpp"
#include "sweep/sweep.hpp"

namespace switchyard::sweep {

struct Results {
  std::int64_t rows = 0;
  std::vector<Error> left_out{};  ///< for each finished task whose files cannot be read, in a sentence
};

/// Writes FOLDER/results.h5 aside and renames it: a row for every evaluation of every finished task, schema in
/// docs/record-schema.md. Values depend on the runs only, not on how they were interrupted. With no rows there is no
/// file. Throws where results.h5 cannot be written; a task that cannot be read is left out.
Results write_results(const std::string& folder, const Sweep& sweep);

}  // namespace switchyard::sweep
