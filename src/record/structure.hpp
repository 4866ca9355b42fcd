// Whether the structure of a record file is the schema's, before anything of it is read.
#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "config/config.hpp"
#include "record/schema.hpp"

namespace switchyard::record {

/// Rows of a growing dimension that count at most, where fewer may count than are there.
using Limits = std::map<std::string, std::int64_t>;

/// Length of every dimension of the file, at most its limit; 0 where it is left out. Throws Error{corrupt} where a
/// dimension is none, or a dataset or attribute of the table is missing, of another type, shape or storage, a link, or
/// claims more than the file can hold. What came with a later schema version may be missing, and what only mixtures of
/// experts have in a file of a dense model; of run.h5 its attribute config says whether it is one.
std::map<std::string, std::int64_t> check_structure(const hdf5::File& file, FileKind kind, std::int64_t version,
                                                    const Limits& limits);

/// The configuration that run.h5 keeps. Options of another version of the program are left out.
Config config_of(const hdf5::File& run);

}  // namespace switchyard::record
