// results.h5: what the finished tasks of a sweep measured, in one tidy table.
#pragma once
#include <string>

#include "sweep/sweep.hpp"

namespace switchyard::sweep {

/// Writes FOLDER/results.h5 aside and renames it: a row for every evaluation of every finished task, schema in
/// docs/record-schema.md. Values depend on the runs only, not on how they were interrupted. Returns the number of rows;
/// with none there is no file. Throws what the records throw.
std::int64_t write_results(const std::string& folder, const Sweep& sweep);

}  // namespace switchyard::sweep
