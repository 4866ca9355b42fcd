// `switchyard data build`: text to token shards with a manifest.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace switchyard::data {

struct BuildOptions {
  std::vector<std::string> inputs;   ///< folders, text files and .jsonl files
  std::vector<std::string> endings;  ///< of folders, taken as text beside .txt, .jsonl and .ndjson
  bool all = false;                  ///< of folders, every file, hidden ones too
  std::string out;                   ///< folder to make; must not exist
  std::string tokenizer = "bytes";   ///< "bytes", "bpe" (trained on the inputs) or a SentencePiece .model file
  int vocabulary = 4096;             ///< pieces of a trained tokenizer
  double validation_share = 0.02;    ///< of the documents, drawn by document; at least one
  std::uint64_t seed = 1;            ///< of that draw
  std::int64_t tokenizer_bytes = std::int64_t{8}
                                 << 20;  ///< text that a tokenizer is trained on, taken evenly from all documents
  std::function<void(const std::string&)> say = [](const std::string&) {
  };  ///< what was taken, and progress, a line each
};

struct BuildReport {
  std::int64_t documents = 0;
  std::int64_t bytes = 0;
  std::int64_t train_tokens = 0;
  std::int64_t validation_tokens = 0;
  int vocabulary = 0;
};

/// Writes the corpus aside and renames it to `out`. The same inputs and options give the same bytes. Every document's
/// tokens decode to its bytes. Throws Error{usage} for bad input (all of it, with file and offset), for a document that
/// the tokenizer cannot write and for an `out` that exists, Error{busy} where another job makes it now, Error{storage}.
BuildReport build_corpus(const BuildOptions& options);

}  // namespace switchyard::data
