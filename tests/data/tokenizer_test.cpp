// Tokenizers: text comes back byte for byte, and the same text trains the same model.
#include "data/tokenizer.hpp"

#include "base/files.hpp"
#include "data/check.hpp"
#include "data/corpus.hpp"
#include "data/support.hpp"

namespace switchyard::data {
namespace {

const std::vector<std::string>& awkward_texts() {
  static const std::vector<std::string> texts{"a",
                                              " ",
                                              "\n",
                                              "  two  spaces  ",
                                              "\ttab\r\nline\n\n\n",
                                              "int main() {\n    return 0;\n}\n",
                                              "naïve π ≈ 3.14 日本語 🙂",
                                              std::string("nul\0byte", 8),
                                              "e\xcc\x81 stays decomposed, ﬁ stays a ligature, Ａ stays wide",
                                              "<0x41> </s> <unk> \xe2\x96\x85"};
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

std::string train(const TestFolder& folder, const std::string& name, int vocabulary) {
  const std::string text = training_text();
  std::size_t at = 0;
  train_sentencepiece(
      [&](std::string& piece) {
        if (at >= text.size()) return false;
        piece = text.substr(at, 1000);
        at += 1000;
        return true;
      },
      vocabulary, folder / name);
  return folder / name;
}

bool has_sentencepiece() {
  return error_of([] { load_sentencepiece("/nonexistent.model"); }).find("built without") == std::string::npos;
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

TEST(SentencePiece, TextComesBackAndTokensHaveItsBytes) {
  if (!has_sentencepiece()) GTEST_SKIP() << "built without SentencePiece";
  const TestFolder folder;
  const auto tokenizer = load_sentencepiece(train(folder, "a.model", 340));
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

TEST(SentencePiece, TheSameTextTrainsTheSameModel) {
  if (!has_sentencepiece()) GTEST_SKIP() << "built without SentencePiece";
  const TestFolder folder;
  const std::string first = train(folder, "a.model", 340), second = train(folder, "b.model", 340);
  EXPECT_EQ(load_sentencepiece(first)->encode(training_text()), load_sentencepiece(second)->encode(training_text()));
  std::filesystem::create_directories(folder / "elsewhere");
  const std::string third = train(folder, "elsewhere/a.model", 340);
  EXPECT_EQ(files::sha256_of_file(first), files::sha256_of_file(third)) << "the model must not depend on its place";
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
  const TestFolder folder;
  write_file(folder / "bad.model", "this is no model");
  EXPECT_EQ(error_of([&] { load_sentencepiece(folder / "bad.model"); }).rfind("2: " + (folder / "bad.model"), 0), 0u);
  EXPECT_EQ(error_of([&] { train(folder, "small.model", 100); }).rfind("2: ", 0), 0u) << "less than the 256 bytes";
}

}  // namespace
}  // namespace switchyard::data
