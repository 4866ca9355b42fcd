// Verifies a whole corpus: checksums, token ranges, document offsets.
#pragma once
#include <string>

namespace switchyard::data {

/// `switchyard data check PATH`: PATH is a corpus folder, an llm.c shard or a folder of them. Returns what was
/// verified, as lines for a person. Throws Error{corrupt} with every fault (file, byte offset), one a line, or
/// Error{usage} where there is no corpus.
std::string check_corpus(const std::string& path);

}  // namespace switchyard::data
