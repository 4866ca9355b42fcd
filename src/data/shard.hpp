// Token shards: files of token ids.
#pragma once
#include <cstdint>
#include <string>

namespace switchyard::data {

/// Header of a shard in the llm.c format: this many int32, of which the first three are magic, version and tokens.
constexpr int llmc_header_words = 256;
constexpr std::int32_t llmc_magic = 20240520, llmc_version = 1;

/// An open file that is read at offsets. It is not mapped: a file that is cut meanwhile would end the process.
class ShardFile {
 public:
  /// Throws Error{corrupt} where the file is missing or no regular file, else what files::open_regular throws.
  explicit ShardFile(const std::string& path);
  ShardFile(ShardFile&& other) noexcept;
  ShardFile& operator=(ShardFile&&) = delete;
  ~ShardFile();
  const std::string& path() const { return path_; }
  std::int64_t bytes() const { return bytes_; }
  /// Throws Error{corrupt} where the file ends before.
  void read(std::int64_t offset, std::int64_t bytes, void* out) const;

 private:
  std::string path_;
  int fd_ = -1;
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
  /// Throws Error{corrupt} with file and byte offset for an id of `vocabulary` or more and where the file was cut.
  void read(std::int64_t first, std::int64_t count, int vocabulary, std::int32_t* out) const;

 private:
  Shard(ShardFile file, int token_bits, std::int64_t header_bytes, std::int64_t tokens);
  ShardFile file_;
  int bytes_;  ///< of one token
  std::int64_t header_;
  std::int64_t tokens_;
};

}  // namespace switchyard::data
