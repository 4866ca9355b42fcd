// In place of sentencepiece.cpp where the program is configured without SentencePiece.
#include "base/check.hpp"
#include "data/tokenizer.hpp"

namespace switchyard::data {
namespace {

[[noreturn]] void not_configured(const std::string& what) {
  throw Error(Exit::usage, what +
                               " needs SentencePiece, which this program was built without; build it with "
                               "-DSWITCHYARD_SENTENCEPIECE=ON or use the tokenizer 'bytes'");
}

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece(const std::string&, const std::string& file, std::size_t) {
  not_configured(file);
}

std::string train_sentencepiece(const TextSource&, int) { not_configured("training a tokenizer"); }

}  // namespace switchyard::data
