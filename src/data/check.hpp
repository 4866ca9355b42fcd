// `switchyard data check`: sums, sizes and ranges of a corpus.
#pragma once
#include <string>
#include <vector>

namespace switchyard::data {

/// Everything that is wrong with a corpus folder or an llm.c shard, each with file and offset; empty where it is sound.
std::vector<std::string> check_corpus(const std::string& path);

}  // namespace switchyard::data
