// Text to token ids and back.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace switchyard::data {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual int vocabulary() const = 0;
  virtual std::int32_t end_token() const = 0;  ///< closes each document
  virtual std::vector<std::int32_t> encode(const std::string& text) const = 0;
  virtual std::string decode(const std::vector<std::int32_t>& ids) const = 0;
  /// Bytes of text that a token stands for; "" for the end token and other control tokens.
  virtual std::string text(std::int32_t id) const = 0;
};

/// Ids 0 … 255 are bytes, 256 is the end token.
std::unique_ptr<Tokenizer> make_byte_tokenizer();

/// A SentencePiece model, given as the bytes of `file`. Texts longer than `part_bytes` are encoded in parts, which
/// bounds the memory. They end where no piece can reach across, so that the tokens are those of the whole; a text
/// without such a place in 1 MiB is cut there all the same. U+2581, which SentencePiece writes for a space, becomes its
/// three byte pieces; a space becomes one where the model has no piece for it. Throws Error{usage} where it cannot be
/// read or has no end-of-sentence token, or where this program was built without SentencePiece.
std::unique_ptr<Tokenizer> load_sentencepiece(const std::string& model, const std::string& file,
                                              std::size_t part_bytes = std::size_t{1} << 16);

/// Byte of `text` from which on the decoded `ids` differ from it; −1 where they are the same.
std::int64_t first_lost_byte(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids, const std::string& text);

/// Gives the texts to learn from, one after another; false when there are no more.
using TextSource = std::function<bool(std::string& text)>;

/// Learns a byte-pair vocabulary of `vocabulary` pieces (256 of them bytes, so that every text can be written) and
/// returns the bytes of the model file. The same texts give the same bytes. Throws Error{usage} where the text needs
/// more pieces or has less.
std::string train_sentencepiece(const TextSource& texts, int vocabulary);

}  // namespace switchyard::data
