// Makes a corpus folder out of text: folders, .txt and .jsonl files become token shards with a manifest.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace switchyard::data {

/// `switchyard data build OUTPUT INPUT...`
struct BuildOptions {
  std::string output;               ///< folder to make
  std::vector<std::string> inputs;  ///< folders (every regular file below is read), .txt and .jsonl files
  std::string tokenizer = "bytes";
  int vocabulary = 4096;
  double validation = 0.02;
  std::uint64_t seed = 1;
  std::int64_t shard_tokens = std::int64_t{1} << 26;
  std::int64_t tokenizer_bytes = std::int64_t{16} << 20;
  bool replace = false;

  static void fields(auto& self, auto&& f) {
    f("tokenizer", self.tokenizer, "",
      "bytes, train (SentencePiece BPE on these texts), or a SentencePiece model file");
    f("vocabulary", self.vocabulary, "tokens", "size of a vocabulary trained here, the end token included");
    f("validation", self.validation, "", "share of the documents that is held out; 0 holds out none");
    f("seed", self.seed, "", "draws the held-out documents and the texts that the tokenizer is trained on");
    f("shard_tokens", self.shard_tokens, "tokens", "most tokens of one shard file");
    f("tokenizer_bytes", self.tokenizer_bytes, "bytes", "most text that the tokenizer is trained on");
    f("replace", self.replace, "", "replace a corpus that stands at the output");
  }
};

/// Size of one split or domain.
struct Amount {
  std::int64_t documents = 0;
  std::int64_t tokens = 0;
  std::int64_t bytes = 0;  ///< of text
};

struct BuildReport {
  std::string output;
  std::string tokenizer;  ///< "bytes" or "sentencepiece"
  int vocabulary = 0;
  Amount train, validation;
  std::vector<std::string> domains;
  std::vector<Amount> domain_amounts;  ///< (domains), both splits
  int shards = 0;
};

/// Reads all inputs, then writes the corpus aside and renames it: `output` is whole or not there. The same texts and
/// options give the same bytes. Throws Error{usage} with every bad file and its byte offset, one a line.
BuildReport build_corpus(const BuildOptions& options);

/// The report as lines for a person.
std::string describe(const BuildReport& report);

}  // namespace switchyard::data
