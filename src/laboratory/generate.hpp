// Generated texts as token files: `switchyard data generate`.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "laboratory/facts.hpp"
#include "laboratory/tree_tasks.hpp"

namespace switchyard::laboratory {

struct GenerateOptions {
  std::string shape = "bend";  ///< of T1, see make_tasks; facts: T2
  int tasks = 64;              ///< T1: L, a power of two
  int keys = 16;               ///< T1: X
  int values = 64;
  std::int64_t samples = 3000000;  ///< T1: for training; a hundredth more is held out
  int facts = 4096;                ///< T2: N
  std::uint64_t seed = 1;
  std::string made_by = {};  ///< first line of ideal.csv, a comment; may be empty
  std::string out;           ///< folder to make; must not exist
  std::function<void(const std::string&)> say = [](const std::string&) {};  ///< how far it is, every few seconds
};

/// Makes the folder, with llm.c shards of u16:
///   t1_train_000000.bin, t1_val_000000.bin   a sample is three tokens: task, L + key, L + X + answer
///   ideal.csv                                by number of experts, nat a sample: ideal, hash (the assignment that seed
///                                            draws), mean and deviation of 32 hash assignments, even, balanced
///   generator.json                           the options, from which the maps follow
/// or for facts t2_train_000000.bin, every fact once in the order of its number, t2_val_000000.bin, their first
/// hundredth again (a fact is two tokens: its number, N + answer; its key follows from the seed), and generator.json.
/// The best loss of facts is 0 and what experts reach depends on their size: `data laboratory` writes it beside what it
/// measured. Written aside and renamed. Throws Error{usage} for options out of range and for an `out` that exists.
void generate(const GenerateOptions& options);

/// Whether the folder has facts; throws Error{usage} where it has no generator, Error{corrupt} where that is broken.
bool holds_facts(const std::string& folder);
/// The generator of a folder; the same errors, and Error{usage} where it has the other one.
TreeTasks generator_of(const std::string& folder);
Facts facts_of(const std::string& folder);

}  // namespace switchyard::laboratory
