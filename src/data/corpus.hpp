// A corpus on disk: token shards with a manifest; or shards in the llm.c format.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace switchyard::data {

enum class Split { train, validation };

/// One document of a split: tokens [first, first + tokens) of the split's stream, its end token included.
struct Document {
  std::int64_t first;
  std::int64_t tokens;
  std::int64_t bytes;  ///< UTF-8 bytes of its text
  int domain;
};

/// Tokens of both splits as two streams (documents one after another, each closed by the end token).
class Corpus {
 public:
  /// Opens and validates a corpus folder (manifest.json), one llm.c .bin shard (its last 2 % are held out), or a folder
  /// of llm.c shards (names with _train_ and _val_). Everything but the shards is compared with its checksum; of them
  /// the sizes (the checksums by check_corpus). Throws Error{usage} naming file and offset, Error{corrupt} where a
  /// size, sum, index or type does not fit.
  static Corpus open(const std::string& path);
  Corpus(Corpus&&) noexcept;
  ~Corpus();

  const std::string& path() const;
  int vocabulary() const;
  std::int32_t end_token() const;  ///< closes each document
  std::int64_t tokens(Split split) const;
  /// Copies tokens [first, first+count) of the split's stream. Throws Error{corrupt} for an id out of range and for a
  /// shard that was cut.
  void read(Split split, std::int64_t first, std::int64_t count, std::int32_t* out) const;
  const std::vector<Document>& documents(Split split) const;  ///< ascending; empty for an llm.c shard
  const std::vector<std::string>& domains() const;
  std::int64_t bytes(Split split) const;  ///< of text; 0 where unknown
  /// Text bytes of one token, for bits per byte; "" for the end token and where unknown.
  std::string token_text(std::int32_t id) const;
  std::string decode(const std::vector<std::int32_t>& ids) const;
  /// Throws Error{usage} where the ids would not decode to `text`.
  std::vector<std::int32_t> encode(const std::string& text) const;
  /// What its token ids mean: "bytes", the sha256 of a SentencePiece model, or "gpt2" for shards in the llm.c format.
  const std::string& tokenizer() const;
  std::string manifest_sha256() const;  ///< identifies the corpus in records and checkpoints

 private:
  struct State;
  explicit Corpus(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace switchyard::data
