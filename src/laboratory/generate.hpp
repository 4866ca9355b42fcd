// T1 as token files: `switchyard data generate`.
#pragma once
#include <cstdint>
#include <string>

#include "laboratory/tree_tasks.hpp"

namespace switchyard::laboratory {

struct GenerateOptions {
  std::string shape = "bend";  ///< see make_tasks
  int tasks = 64;              ///< L, a power of two
  int keys = 16;
  int values = 64;
  std::int64_t samples = 3000000;  ///< for training; a hundredth more is held out
  std::uint64_t seed = 1;
  std::string out;  ///< folder to make; must not exist
};

/// Makes the folder:
///   t1_train_000000.bin, t1_val_000000.bin   llm.c shards of u16; a sample is three tokens: task, L + key, L + X +
///   answer generator.json                           the options, from which the maps follow ideal.csv by number of
///   experts, nat a sample: ideal, hash (the assignment that seed
///                                            draws), mean and deviation of 32 hash assignments, even, balanced
/// Written aside and renamed. Throws Error{usage} for options out of range and for an `out` that exists.
void generate(const GenerateOptions& options);

/// The generator of a folder; throws Error{usage} where it has none.
TreeTasks generator_of(const std::string& folder);

}  // namespace switchyard::laboratory
