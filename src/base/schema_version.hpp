// Version of the files of a run: records and checkpoints have one between them.
#pragma once

namespace switchyard {

constexpr int schema_version = 8, oldest_schema_version = 1;  ///< written; still read

}  // namespace switchyard
