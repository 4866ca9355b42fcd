// Tokenizers: text comes back byte for byte, and the same text trains the same model.
#include "data/tokenizer.hpp"

#include "base/files.hpp"
#include "data/check.hpp"
#include "data/corpus.hpp"
#include "data/support.hpp"

namespace switchyard::data {
namespace {

const std::vector<std::string>& awkward_texts() {
  static const std::vector<std::string> texts{
      "a",
      " ",
      "\n",
      "  two  spaces  ",
      "\ttab\r\nline\n\n\n",
      "int main() {\n    return 0;\n}\n",
      "naïve π ≈ 3.14 日本語 🙂",
      std::string("nul\0byte", 8),
      "e\xcc\x81 stays decomposed, ﬁ stays a ligature, Ａ stays wide",
      "<0x41> </s> <unk> \xe2\x96\x85",
      "snake\xe2\x96\x81"
      "case\xe2\x96\x81name",
      "\xe2\x96\x81",
      "\xe2\x96\x81\xe2\x96\x81 \xe2\x96\x81 ",
      "\xef\xbb\xbfmark \xe2\x80\x8b\x01\x7f\r \xc2\x85 \xe2\x80\xa8 \xe3\x80\x80"};
  return texts;
}

/// Words that repeat, so that there is something to merge.
std::string training_text() {
  std::string text;
  for (int i = 0; i < 4000; ++i)
    text += "the router sends token " + std::to_string(i * 7919 % 1000) +
            (i % 5 ? " to expert " : "\n    return expert;\n");
  return text;
}

/// Bytes of a model.
std::string train(int vocabulary, const std::string& text = training_text()) {
  std::size_t at = 0;
  return train_sentencepiece(
      [&](std::string& piece) {
        if (at >= text.size()) return false;
        piece = text.substr(at, 1000);
        at += 1000;
        return true;
      },
      vocabulary);
}

/// A model with the defaults of SentencePiece's own trainer, which puts a space before texts and merges spaces: the two
/// switches of its normalizer, fields 3 and 4, turned on.
std::string foreign_model() {
  std::string model = train(340);
  const std::size_t at = model.find(std::string("\x18\0\x20\0", 4), model.find("identity"));
  EXPECT_NE(at, std::string::npos);
  return model.replace(at, 4, "\x18\x01\x20\x01");
}

bool has_sentencepiece() {
  return error_of([] { load_sentencepiece("", "nonexistent.model"); }).find("built without") == std::string::npos;
}

TEST(ByteTokenizer, TextComesBack) {
  const auto tokenizer = make_byte_tokenizer();
  EXPECT_EQ(tokenizer->vocabulary(), 257);
  EXPECT_EQ(tokenizer->end_token(), 256);
  EXPECT_EQ(tokenizer->text(256), "");
  for (const std::string& text : awkward_texts()) {
    EXPECT_EQ(tokenizer->encode(text).size(), text.size());
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  }
}

TEST(ByteTokenizer, EveryIdIsItsByteAndOthersAreNothing) {
  const auto tokenizer = make_byte_tokenizer();
  std::vector<std::int32_t> ids;
  std::string text;
  for (std::int32_t id = -300; id < 600; ++id) {
    const std::string byte = id < 0 || id > 255 ? "" : std::string(1, static_cast<char>(id));
    EXPECT_EQ(tokenizer->text(id), byte) << id;
    if (!byte.empty()) {
      EXPECT_EQ(tokenizer->encode(byte), std::vector<std::int32_t>{id});
    }
    ids.push_back(id), text += byte;
  }
  EXPECT_EQ(tokenizer->decode(ids), text);
}

/// Gives back what it is told.
class Parrot : public Tokenizer {
 public:
  explicit Parrot(std::string answer) : answer_(std::move(answer)) {}
  int vocabulary() const override { return 1; }
  std::int32_t end_token() const override { return 0; }
  std::vector<std::int32_t> encode(const std::string&) const override { return {}; }
  std::string decode(const std::vector<std::int32_t>&) const override { return answer_; }
  std::string text(std::int32_t) const override { return ""; }

 private:
  std::string answer_;
};

TEST(Tokenizer, TheFirstLostByteIsWhereTextsPart) {
  struct {
    std::string text, back;
    std::int64_t lost;
  } const table[] = {{"", "", -1},      {"abc", "abc", -1}, {"abc", "", 0},      {"abc", "xbc", 0},
                     {"abc", "ab", 2},  {"abc", "abx", 2},  {"abc", "abcd", 3},  {"", "a", 0},
                     {"abab", "ab", 2}, {"a b", "ab", 1},   {"\xff", "\xfe", 0}, {std::string("\0a", 2), "", 0}};
  for (const auto& [text, back, lost] : table) EXPECT_EQ(first_lost_byte(Parrot(back), {}, text), lost) << text;
}

TEST(SentencePiece, IdsOutsideTheVocabularyAreNothing) {
  if (!has_sentencepiece()) GTEST_SKIP() << "built without SentencePiece";
  const auto tokenizer = load_sentencepiece(train(340), "a.model");
  std::set<std::string> bytes;
  for (std::int32_t id = 0; id < 340; ++id)
    if (tokenizer->text(id).size() == 1) bytes.insert(tokenizer->text(id));
  EXPECT_EQ(bytes.size(), 256u) << "every byte can be written";
  for (const std::int32_t id : {-1, -2147483647, 340, 2147483647, tokenizer->end_token()}) {
    EXPECT_EQ(tokenizer->text(id), "") << id;
    EXPECT_EQ(tokenizer->decode({id, tokenizer->encode("a").at(0), id}), "a") << id;
  }
}

/// Parts end at 1 MiB where no place comes before, and never inside a character.
TEST(SentencePiece, ATextWithoutAPlaceToPartComesBack) {
  if (!has_sentencepiece()) GTEST_SKIP() << "built without SentencePiece";
  const std::string model = train(264, std::string(5000, 'a') + " b");
  const auto tokenizer = load_sentencepiece(model, "a.model", 1000);
  const std::string long_text((std::size_t{1} << 20) + 1, 'a');
  EXPECT_TRUE(tokenizer->decode(tokenizer->encode(long_text)) == long_text);
  for (const std::size_t part : {1, 2, 3, 4, 5}) {
    const std::string text = "aπ≈🙂π≈🙂a≈";
    const auto short_parts = load_sentencepiece(model, "a.model", part);
    EXPECT_EQ(short_parts->decode(short_parts->encode(text)), text) << part;
  }
}

/// Text is cut into pieces of 4096 bytes to learn from: inside a character it would be taught U+FFFD.
TEST(SentencePiece, NoCharacterIsCutToLearnFrom) {
  if (!has_sentencepiece()) GTEST_SKIP() << "built without SentencePiece";
  const TestFolder folder;
  for (int shift = 0; shift < 3; ++shift) {
    std::string text(shift, 'x');
    for (int i = 0; i < 6000; ++i) text += i % 3 ? "日" : "本";
    write_file(folder / ("in/" + std::to_string(shift) + ".txt"), text);
  }
  BuildOptions options;
  options.inputs = {folder / "in"}, options.out = folder / "corpus";
  options.tokenizer = "bpe", options.vocabulary = 270;
  build_corpus(options);
  const auto tokenizer = load_sentencepiece(read_file(folder / "corpus/tokenizer.model"), "tokenizer.model");
  for (std::int32_t id = 0; id < tokenizer->vocabulary(); ++id)
    EXPECT_EQ(tokenizer->text(id).find("\xef\xbf\xbd"), std::string::npos) << id;
}

/// A corpus whose tokenizer changes text, as another program could make one, is read but writes no prompt.
TEST(SentencePiece, APromptThatWouldChangeIsRefused) {
  if (!has_sentencepiece()) GTEST_SKIP() << "built without SentencePiece";
  const TestFolder folder;
  for (const char* name : {"a.txt", "b.txt"}) write_file(folder / name, training_text());
  BuildOptions options;
  options.inputs = {folder / "a.txt", folder / "b.txt"}, options.out = folder / "corpus";
  options.tokenizer = "bpe", options.vocabulary = 340;
  build_corpus(options);
  const std::string file = options.out + "/manifest.json",
                    sum = files::sha256_of_file(options.out + "/tokenizer.model");
  write_file(options.out + "/tokenizer.model", foreign_model());
  std::string manifest = read_file(file);
  const std::string damaged = error_of([&] { Corpus::open(options.out); });
  EXPECT_EQ(damaged.rfind("4: " + options.out + "/tokenizer.model: sha256", 0), 0u) << damaged;
  write_file(file, manifest.replace(manifest.find(sum), 64, files::sha256_of_text(foreign_model())));
  const Corpus corpus = Corpus::open(options.out);
  const std::string error = error_of([&] { corpus.encode("the  router"); });
  EXPECT_EQ(
      error.rfind("2: the text cannot be written with the tokenizer of " + options.out + " from its byte 0 on", 0), 0u)
      << error;
}

TEST(SentencePiece, TextComesBackAndTokensHaveItsBytes) {
  if (!has_sentencepiece()) GTEST_SKIP() << "built without SentencePiece";
  const auto tokenizer = load_sentencepiece(train(340), "a.model");
  EXPECT_EQ(tokenizer->vocabulary(), 340);
  EXPECT_EQ(tokenizer->text(tokenizer->end_token()), "");
  for (const std::string& text : awkward_texts()) {
    const auto ids = tokenizer->encode(text);
    EXPECT_EQ(tokenizer->decode(ids), text);
    std::size_t bytes = 0;
    for (const std::int32_t id : ids) bytes += tokenizer->text(id).size();
    EXPECT_EQ(bytes, text.size()) << text;
  }
  const std::string text = training_text();
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  EXPECT_LT(tokenizer->encode(text).size() * 3, text.size());
}

/// A space is in every text but those that the tokenizer was trained on.
TEST(SentencePiece, ATokenizerOfTextWithoutSpacesTakesThem) {
  if (!has_sentencepiece()) GTEST_SKIP() << "built without SentencePiece";
  std::string bare;
  for (const char c : training_text())
    if (c != ' ') bare += c;
  const auto tokenizer = load_sentencepiece(train(340, bare), "a.model", 100);
  for (const std::string& text : {training_text(), bare}) EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  for (const std::string& text : awkward_texts()) EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
}

TEST(SentencePiece, TheSameTextTrainsTheSameModel) {
  if (!has_sentencepiece()) GTEST_SKIP() << "built without SentencePiece";
  EXPECT_EQ(train(340), train(340));
}

TEST(SentencePiece, PartsOfALongTextHaveTheTokensOfTheWhole) {
  if (!has_sentencepiece()) GTEST_SKIP() << "built without SentencePiece";
  const std::string model = train(340);
  std::string text = training_text();
  for (const std::string& awkward : awkward_texts())
    text += awkward + std::string(3, ' ') + training_text().substr(0, 99);
  const auto whole = load_sentencepiece(model, "a.model", std::size_t{1} << 30)->encode(text);
  for (const std::size_t part : {1, 7, 100}) EXPECT_EQ(load_sentencepiece(model, "a.model", part)->encode(text), whole);
}

TEST(SentencePiece, AModelThatChangesTextIsRefusedWithThePlace) {
  if (!has_sentencepiece()) GTEST_SKIP() << "built without SentencePiece";
  const TestFolder folder;
  write_file(folder / "foreign.model", foreign_model());
  write_file(folder / "in.jsonl", "{\"text\": \"the router\"}\n{\"text\": \"two  spaces\"}\n");
  BuildOptions options;
  options.inputs = {folder / "in.jsonl"};
  options.out = folder / "corpus";
  options.tokenizer = folder / "foreign.model";
  const std::string error = error_of([&] { build_corpus(options); });
  EXPECT_EQ(error.rfind("2: " + (folder / "in.jsonl: byte 0: line 1: the tokenizer does not give"), 0), 0u) << error;
  EXPECT_NE(error.find("line 2: "), std::string::npos) << error;
  EXPECT_FALSE(std::filesystem::exists(options.out));
}

/// Bytes of tokens are those of the source also where U+2581, SentencePiece's sign for a space, is text.
TEST(SentencePiece, ACorpusOfSpacesSignsComesBack) {
  if (!has_sentencepiece()) GTEST_SKIP() << "built without SentencePiece";
  const TestFolder folder;
  const std::string text =
      "snake\xe2\x96\x81"
      "case name\n" +
      training_text();
  for (const char* name : {"a.txt", "b.txt"}) write_file(folder / name, text);
  BuildOptions options;
  options.inputs = {folder / "a.txt", folder / "b.txt"};
  options.out = folder / "corpus";
  options.tokenizer = "bpe";
  options.vocabulary = 340;
  build_corpus(options);
  const Corpus corpus = Corpus::open(options.out);
  std::vector<std::int32_t> ids(corpus.tokens(Split::train));
  corpus.read(Split::train, 0, corpus.tokens(Split::train), ids.data());
  EXPECT_EQ(corpus.decode(ids), text);
  EXPECT_EQ(corpus.bytes(Split::train), static_cast<std::int64_t>(text.size()));
}

TEST(SentencePiece, BuildTrainsOrTakesAModel) {
  if (!has_sentencepiece()) GTEST_SKIP() << "built without SentencePiece";
  const TestFolder folder;
  for (int i = 0; i < 4; ++i) write_file(folder / ("in/" + std::to_string(i) + ".txt"), training_text());
  BuildOptions options;
  options.inputs = {folder / "in"};
  options.out = folder / "trained";
  options.tokenizer = "bpe";
  options.vocabulary = 340;
  build_corpus(options);
  options.out = folder / "taken";
  options.tokenizer = folder / "trained/tokenizer.model";
  build_corpus(options);
  EXPECT_EQ(read_file(folder / "trained/manifest.json"), read_file(folder / "taken/manifest.json"));
  EXPECT_TRUE(check_corpus(options.out).empty());
  const Corpus corpus = Corpus::open(options.out);
  EXPECT_EQ(corpus.vocabulary(), 340);
  const Document d = corpus.documents(Split::train).at(1);
  std::vector<std::int32_t> ids(d.tokens);
  corpus.read(Split::train, d.first, d.tokens, ids.data());
  EXPECT_EQ(corpus.decode(ids), training_text());
}

TEST(SentencePiece, WhatIsNoModelIsNamed) {
  if (!has_sentencepiece()) GTEST_SKIP() << "built without SentencePiece";
  EXPECT_EQ(error_of([] { load_sentencepiece("this is no model", "bad.model"); }).rfind("2: bad.model", 0), 0u);
  const std::string little = error_of([] { train(100); }), much = error_of([] { train(1 << 20); });
  EXPECT_EQ(little.rfind("2: no tokenizer of 100 pieces can be trained", 0), 0u) << little;
  for (const std::string& error : {little, much}) {
    EXPECT_NE(error.find("; give --vocabulary "), std::string::npos) << error;
    EXPECT_EQ(error.find("character_coverage"), std::string::npos) << error;
  }
}

}  // namespace
}  // namespace switchyard::data
