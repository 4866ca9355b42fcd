#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <cstdio>
#include <regex>
#include <unordered_map>
#include <unordered_set>

#include "base/check.hpp"
#include "data/tokenizer.hpp"

namespace switchyard::data {
namespace {

constexpr std::size_t longest_part = std::size_t{1}
                                     << 20;  // bytes; of text without a place where no piece reaches across

const std::string mark = "\xe2\x96\x81";  ///< U+2581: pieces write a space as this

std::string with_spaces(const std::string& piece) {
  std::string out;
  for (std::size_t i = 0; i < piece.size();) {
    if (piece.compare(i, mark.size(), mark) == 0) {
      out += ' ';
      i += mark.size();
    } else {
      out += piece[i++];
    }
  }
  return out;
}

/// The byte that a piece "<0x41>" stands for.
char byte_of(const std::string& piece, const std::string& file) {
  unsigned value = 0;
  int end = 0;
  const bool is_byte = std::sscanf(piece.c_str(), "<0x%2X>%n", &value, &end) == 1 && end == 6 && piece.size() == 6;
  check(is_byte, Exit::usage,
        file + ": cannot be used as a SentencePiece model (its byte piece '" + piece + "' is no byte)");
  return static_cast<char>(value);
}

/// Code point of the well-formed UTF-8 character that starts at text[i]; i moves past it.
char32_t next_character(const std::string& text, std::size_t& i) {
  const auto lead = static_cast<unsigned char>(text[i]);
  const std::size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  char32_t code = length == 1 ? lead : lead & (0xFF >> (length + 1));
  for (std::size_t k = 1; k < length && i + k < text.size(); ++k)
    code = code << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3F);
  i = std::min(i + length, text.size());
  return code;
}

class SentencePiece : public Tokenizer {
 public:
  SentencePiece(const std::string& model, const std::string& file, std::size_t part_bytes) : part_bytes_(part_bytes) {
    const auto status = model_.LoadFromSerializedProto(model);
    check(status.ok(), Exit::usage, file + ": cannot be read as a SentencePiece model (" + status.ToString() + ")");
    check(model_.eos_id() >= 0 && model_.eos_id() < model_.GetPieceSize(), Exit::usage,
          file + ": has no end-of-sentence token (it closes documents); train the model with eos_id >= 0");
    for (int id = 0; id < model_.GetPieceSize(); ++id) texts_.push_back(text_of(id, file));
    has_space_ = model_.PieceToId(mark) != model_.unk_id();
    plain_ = decode(encode_part("a")) == "a" && (!has_space_ || decode(encode_part(" a")) == " a");
  }
  int vocabulary() const override { return static_cast<int>(texts_.size()); }
  std::int32_t end_token() const override { return model_.eos_id(); }
  std::vector<std::int32_t> encode(const std::string& text) const override {
    std::vector<std::int32_t> ids;
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t end = plain_ ? next_without_piece(text, i) : text.size();
      add_parts(text, i, end, ids);
      if (end == text.size()) break;
      i = end + (text[end] == ' ' ? 1 : mark.size());
      for (std::size_t k = end; k < i; ++k) ids.push_back(byte_id_[static_cast<unsigned char>(text[k])]);
    }
    return ids;
  }
  std::string decode(const std::vector<std::int32_t>& ids) const override {
    std::string out;
    for (const std::int32_t id : ids)
      if (id >= 0 && id < vocabulary()) out += texts_[id];
    return out;
  }
  std::string text(std::int32_t id) const override { return id >= 0 && id < vocabulary() ? texts_[id] : ""; }

 private:
  std::vector<int> encode_part(const std::string& text) const {
    std::vector<int> ids;
    const auto status = model_.Encode(text, &ids);
    check(status.ok(), Exit::internal, "SentencePiece cannot encode: " + status.ToString());
    return ids;
  }

  /// Bytes that a token stands for; notes what encode() needs to know of the piece.
  std::string text_of(int id, const std::string& file) {
    if (model_.IsControl(id) || model_.IsUnknown(id)) return "";
    const std::string& piece = model_.IdToPiece(id);
    if (model_.IsByte(id)) {
      const char byte = byte_of(piece, file);
      byte_id_[static_cast<unsigned char>(byte)] = id;
      return std::string(1, byte);
    }
    std::string out = with_spaces(piece);
    for (std::size_t i = 0; i < out.size();) {
      const char32_t left = next_character(out, i);
      if (std::size_t k = i; k < out.size()) joined_.insert(std::uint64_t{left} << 32 | next_character(out, k));
    }
    return out;
  }

  /// The next U+2581, which the library would take for a space, or space of a model that has no piece for it: these are
  /// written as bytes. The text's size where there is none.
  std::size_t next_without_piece(const std::string& text, std::size_t i) const {
    for (const char* first = has_space_ ? "\xE2" : "\xE2 "; (i = text.find_first_of(first, i)) != text.npos; ++i)
      if (text[i] == ' ' || text.compare(i, mark.size(), mark) == 0) return i;
    return text.size();
  }

  void add_parts(const std::string& text, std::size_t i, std::size_t end, std::vector<std::int32_t>& ids) const {
    while (i < end) {
      const std::size_t stop = plain_ ? end_of_part(text, i, end) : end;
      const auto part = encode_part(text.substr(i, stop - i));
      ids.insert(ids.end(), part.begin(), part.end());
      i = stop;
    }
  }

  /// Where the part that starts at text[i] ends: after part_bytes_ between two characters that stand together in no
  /// piece, so that no piece reaches across and the parts have the tokens of the whole; without such a place in
  /// longest_part bytes, there; or at `end`.
  std::size_t end_of_part(const std::string& text, std::size_t i, std::size_t end) const {
    const std::size_t last = i + std::min(end - i, std::max(longest_part, part_bytes_));
    std::size_t here = i + std::min(end - i, part_bytes_);
    while (here < end && (static_cast<unsigned char>(text[here]) & 0xC0) == 0x80) ++here;
    while (here < last) {
      const char32_t left = next_character(text, here);
      if (std::size_t k = here; k < end && joined_.count(std::uint64_t{left} << 32 | next_character(text, k)) == 0)
        return here;
    }
    return here;
  }

  sentencepiece::SentencePieceProcessor model_;
  std::size_t part_bytes_;
  std::vector<std::string> texts_;
  std::vector<std::int32_t> byte_id_ = std::vector<std::int32_t>(256, 0);  // id 0: a model without byte pieces has none
  std::unordered_set<std::uint64_t> joined_;  // pairs of characters that stand together in a piece
  bool has_space_ = true;                     // has a piece for the space alone; text without spaces trains none
  bool plain_ = false;  // takes texts as they are: neither a space is put before them nor any taken away
};

class Iterator : public sentencepiece::SentenceIterator {
 public:
  explicit Iterator(const TextSource& texts) : texts_(texts) { Next(); }
  bool done() const override { return done_; }
  void Next() override { done_ = !texts_(text_); }
  const std::string& value() const override { return text_; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const TextSource& texts_;
  std::string text_;
  bool done_ = false;
};

/// SentencePiece's reason in the words of this program: it tells of an option that data build does not have.
[[noreturn]] void throw_untrained(int vocabulary, const std::string& reason) {
  const std::string what = "no tokenizer of " + std::to_string(vocabulary) + " pieces can be trained (";
  std::smatch number;
  if (std::regex_search(reason, number, std::regex("required_chars[^0-9]*[0-9]+ vs ([0-9]+)")))
    throw Error(Exit::usage, what + "bytes and single characters of the text take " + number.str(1) +
                                 " pieces); give --vocabulary " + number.str(1) +
                                 " at least, or use --tokenizer bytes");
  if (std::regex_search(reason, number, std::regex("value <= ([0-9]+)")))
    throw Error(Exit::usage, what + "the text has only " + number.str(1) + " different ones); give --vocabulary " +
                                 number.str(1) + " at most, or more text");
  throw Error(Exit::usage, what + reason + "); give another --vocabulary or more text, or use --tokenizer bytes");
}

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece(const std::string& model, const std::string& file,
                                              std::size_t part_bytes) {
  return std::make_unique<SentencePiece>(model, file, part_bytes);
}

std::string train_sentencepiece(const TextSource& texts, int vocabulary) {
  const std::unordered_map<std::string, std::string> options{{"vocab_size", std::to_string(vocabulary)},
                                                             {"model_type", "bpe"},
                                                             {"byte_fallback", "true"},
                                                             {"character_coverage", "0.9995"},
                                                             {"normalization_rule_name", "identity"},
                                                             {"add_dummy_prefix", "false"},
                                                             {"remove_extra_whitespaces", "false"},
                                                             {"split_digits", "true"},
                                                             {"allow_whitespace_only_pieces", "true"},
                                                             {"unk_id", "0"},
                                                             {"eos_id", "1"},
                                                             {"bos_id", "-1"},
                                                             {"pad_id", "-1"},
                                                             {"max_sentence_length", "100000"},
                                                             {"num_threads", "1"},
                                                             {"minloglevel", "2"}};
  Iterator iterator(texts);
  std::string model;  // not written by the trainer, which would put the name of the file into it
  const auto status = sentencepiece::SentencePieceTrainer::Train(options, &iterator, &model);
  if (!status.ok()) throw_untrained(vocabulary, status.ToString());
  return model;
}

}  // namespace switchyard::data
