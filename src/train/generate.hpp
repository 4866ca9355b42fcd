// A look at what a model has learned: text continued token by token.
#pragma once
#include <cstdint>
#include <string>

namespace switchyard::train {

/// `prompt` ("" starts a document) and `tokens` tokens more, by the newest checkpoint of the folder `run`. Temperature
/// 0 takes the most probable token. On one rank. Throws Error{usage} where there is no checkpoint or more than one
/// rank, and where data.path is not the corpus of the run.
std::string generate(const std::string& run, const std::string& prompt, int tokens, double temperature,
                     std::uint64_t seed);

}  // namespace switchyard::train
