// manifest.json of a corpus folder: what its files are, with sizes and checksums.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/corpus.hpp"

namespace switchyard::data {

struct ShardEntry {
  std::string file;
  std::int64_t tokens = 0;
  std::string sha256;
};

struct SplitEntry {
  std::int64_t tokens = 0;
  std::int64_t bytes = 0;  ///< of text
  std::vector<ShardEntry> shards;
  std::int64_t documents = 0;
  std::string document_file;  ///< (documents, 4) int64: first token, tokens, bytes, domain
  std::string document_sha256;
};

struct Manifest {
  static constexpr int version = 1;
  std::string tokenizer;  ///< "bytes" or "sentencepiece"
  std::string tokenizer_file;
  std::string tokenizer_sha256;
  int vocabulary = 0;
  std::int32_t end_token = 0;
  int token_bits = 16;
  std::vector<std::string> domains;
  SplitEntry splits[2];  ///< by Split
  SplitEntry& of(Split s) { return splits[static_cast<int>(s)]; }
  const SplitEntry& of(Split s) const { return splits[static_cast<int>(s)]; }
};

const char* split_name(Split split);
/// Every file that the manifest lists, with its sha256.
std::vector<std::pair<std::string, std::string>> listed_files(const Manifest& manifest);
std::string to_json(const Manifest& manifest);
/// Reads FOLDER/manifest.json and its sha256. Throws Error{usage} for another schema, Error{corrupt} where it cannot be
/// understood or contradicts itself: numbers, names and sums in it are those of a corpus, though not yet of the files.
Manifest read_manifest(const std::string& folder, std::string* sha256 = nullptr);
/// Throws Error{corrupt} for what stands at a path of a corpus and is no regular file: a pipe, a device, a folder.
void require_regular(const std::string& path);
/// A whole small file that the manifest lists. Throws Error{corrupt} where it is missing or has another sum.
std::string read_listed(const std::string& folder, const std::string& file, const std::string& sha256);
/// Throws Error{corrupt} where the sum `found` is not the manifest's.
void check_sum(const std::string& path, const std::string& found, const std::string& sha256);

}  // namespace switchyard::data
