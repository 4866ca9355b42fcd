// A look at what a model has learned: text continued token by token.
#pragma once
#include <cstdint>
#include <string>

#include "config/config.hpp"

namespace switchyard::train {

struct Prompt {
  std::string text;          ///< "" starts a document
  int tokens = 200;          ///< to add
  double temperature = 0.8;  ///< 0 takes the most probable token
  std::uint64_t seed = 1;    ///< of the draws
};

/// The prompt and its continuation by the newest sound checkpoint of the folder `run`, whose configuration is `config`.
/// On one rank. Throws Error{usage} where there is no checkpoint, and where data.path is not the corpus of the run.
std::string generate(const std::string& run, const Config& config, const Prompt& prompt);

}  // namespace switchyard::train
