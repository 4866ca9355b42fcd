// Whether the structure of a record file is the schema's, before anything of it is read.
#pragma once
#include <map>
#include <string>

#include "record/schema.hpp"

namespace switchyard::record {

/// Length of every dimension of the file; 0 where it is left out. Throws Error{corrupt} where a dimension is none, or a
/// dataset or attribute of the table is missing, of another type, shape or storage, a link, or claims more than the
/// file can hold. Variables since a later schema version may be missing.
std::map<std::string, std::int64_t> check_structure(const h5::File& file, FileKind kind, std::int64_t version);

}  // namespace switchyard::record
