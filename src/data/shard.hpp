// Token shards: files of token ids, mapped read-only.
#pragma once
#include <cstdint>
#include <string>

namespace switchyard::data {

/// Header of a shard in the llm.c format: this many int32, of which the first three are magic, version and tokens.
constexpr int llmc_header_words = 256;
constexpr std::int32_t llmc_magic = 20240520, llmc_version = 1;

/// A file mapped into memory, read-only.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);  ///< throws Error{usage}
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();
  const unsigned char* data() const { return data_; }
  std::int64_t bytes() const { return bytes_; }

 private:
  const unsigned char* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

/// Tokens of one file: little-endian u16 or u32 from `header_bytes` on.
class Shard {
 public:
  /// A shard of a corpus folder: no header. Throws Error{corrupt} unless the file holds exactly `tokens` tokens.
  static Shard open(const std::string& path, int token_bits, std::int64_t tokens);
  /// A GPT-2 shard in the llm.c format: 256 int32 (magic 20240520, version 1, tokens), then u16. Throws Error{usage}
  /// naming file and offset for another magic or version, Error{corrupt} where it is truncated.
  static Shard open_llmc(const std::string& path);

  std::int64_t tokens() const { return tokens_; }
  /// Throws Error{corrupt} with file and byte offset for an id of `vocabulary` or more.
  void read(std::int64_t first, std::int64_t count, int vocabulary, std::int32_t* out) const;

 private:
  Shard(MappedFile file, std::string path, int token_bits, std::int64_t header_bytes, std::int64_t tokens);
  MappedFile file_;
  std::string path_;
  int bytes_;  ///< of one token
  std::int64_t header_;
  std::int64_t tokens_;
};

}  // namespace switchyard::data
