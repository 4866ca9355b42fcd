#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <unordered_map>

#include "base/check.hpp"
#include "base/files.hpp"
#include "data/tokenizer.hpp"

namespace switchyard::data {
namespace {

/// Pieces write a space as U+2581.
std::string with_spaces(const std::string& piece) {
  static const std::string mark = "\xe2\x96\x81";
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

class SentencePiece : public Tokenizer {
 public:
  explicit SentencePiece(const std::string& file) {
    const auto status = model_.Load(file);
    check(status.ok(), Exit::usage, file + ": cannot be read as a SentencePiece model (" + status.ToString() + ")");
    check(model_.eos_id() >= 0, Exit::usage,
          file + ": has no end-of-sentence token (it closes documents); train the model with eos_id >= 0");
  }
  int vocabulary() const override { return model_.GetPieceSize(); }
  std::int32_t end_token() const override { return model_.eos_id(); }
  std::vector<std::int32_t> encode(const std::string& text) const override {
    std::vector<int> ids;
    const auto status = model_.Encode(text, &ids);
    check(status.ok(), Exit::internal, "SentencePiece cannot encode: " + status.ToString());
    return {ids.begin(), ids.end()};
  }
  std::string decode(const std::vector<std::int32_t>& ids) const override {
    std::string out;
    for (const std::int32_t id : ids) out += text(id);
    return out;
  }
  std::string text(std::int32_t id) const override {
    if (id < 0 || id >= vocabulary() || model_.IsControl(id) || model_.IsUnknown(id)) return "";
    const std::string& piece = model_.IdToPiece(id);
    if (model_.IsByte(id)) return std::string(1, static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16)));
    return with_spaces(piece);
  }

 private:
  sentencepiece::SentencePieceProcessor model_;
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

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece(const std::string& model_file) {
  return std::make_unique<SentencePiece>(model_file);
}

void train_sentencepiece(const TextSource& texts, int vocabulary, const std::string& model_file) {
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
  check(status.ok(), Exit::usage,
        "the tokenizer cannot be trained with a vocabulary of " + std::to_string(vocabulary) + " (" +
            status.ToString() + ")");
  files::write_text(model_file, model);
}

}  // namespace switchyard::data
