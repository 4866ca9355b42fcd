// From text to a corpus and back: splits, domains, the same bytes twice, and every bad input named with its offset.
#include "data/build.hpp"

#include <set>

#include "data/check.hpp"
#include "data/corpus.hpp"
#include "data/documents.hpp"
#include "data/support.hpp"

namespace switchyard::data {
namespace {

/// Text of every document of both splits.
std::multiset<std::string> texts_of(const Corpus& corpus) {
  std::multiset<std::string> texts;
  for (const Split split : {Split::train, Split::validation})
    for (const Document& d : corpus.documents(split)) {
      std::vector<std::int32_t> ids(d.tokens);
      corpus.read(split, d.first, d.tokens, ids.data());
      EXPECT_EQ(ids.back(), corpus.end_token()) << "the end token";
      ids.pop_back();
      texts.insert(corpus.decode(ids));
      EXPECT_EQ(static_cast<std::int64_t>(corpus.decode(ids).size()), d.bytes);
    }
  return texts;
}

std::string build_error(const TestFolder& folder, const std::vector<std::string>& inputs) {
  BuildOptions options;
  options.inputs = inputs;
  options.out = folder / "corpus";
  const std::string error = error_of([&] { build_corpus(options); });
  EXPECT_FALSE(std::filesystem::exists(options.out)) << "nothing is left behind";
  return error;
}

TEST(Build, EveryDocumentIsInOneSplitAndComesBack) {
  const TestFolder folder;
  const Corpus corpus = Corpus::open(small_corpus(folder, 30));
  std::multiset<std::string> written;
  for (const auto& file : std::filesystem::recursive_directory_iterator(folder / "text"))
    if (file.is_regular_file()) written.insert(read_file(file.path().string()));
  EXPECT_EQ(texts_of(corpus), written);
  EXPECT_EQ(corpus.vocabulary(), 257);
  EXPECT_EQ(corpus.domains(), (std::vector<std::string>{"code", "prose"}));
  EXPECT_GE(corpus.documents(Split::validation).size(), 1u);
  EXPECT_GE(corpus.documents(Split::train).size(), 15u);
  EXPECT_TRUE(check_corpus(folder / "corpus").empty());
  EXPECT_EQ(corpus.decode(corpus.encode("ünïcode\n")), "ünïcode\n");
}

TEST(Build, TheSameTextGivesTheSameBytes) {
  const TestFolder one, two_base;
  const std::string first = small_corpus(one, 20);
  BuildOptions options;
  options.inputs = {one / "text"};
  options.out = two_base / "again";
  options.validation_share = 0.2;
  build_corpus(options);
  int files = 0;
  for (const auto& file : std::filesystem::directory_iterator(first)) {
    EXPECT_EQ(read_file(file.path().string()), read_file(options.out + "/" + file.path().filename().string()));
    ++files;
  }
  EXPECT_EQ(files, 5);  // manifest, two shards, two document tables
  EXPECT_EQ(Corpus::open(first).manifest_sha256(), Corpus::open(options.out).manifest_sha256());
}

TEST(Build, ReadsJsonLinesWithDomains) {
  const TestFolder folder;
  write_file(folder / "a.jsonl",
             "{\"text\": \"one\\n\", \"domain\": \"x\"}\n\n{\"text\": \"two\"}\n{\"text\": \"three\"}");
  BuildOptions options;
  options.inputs = {folder / "a.jsonl"};
  options.out = folder / "corpus";
  const BuildReport report = build_corpus(options);
  EXPECT_EQ(report.documents, 3);
  EXPECT_EQ(report.bytes, 12);
  const Corpus corpus = Corpus::open(options.out);
  EXPECT_EQ(texts_of(corpus), (std::multiset<std::string>{"one\n", "three", "two"}));
  EXPECT_EQ(corpus.domains(), (std::vector<std::string>{"x", "a"}));
  EXPECT_EQ(corpus.documents(Split::validation).size(), 1u);  // at least one, whatever the share
}

TEST(Build, NamesEveryBadInputWithItsOffset) {
  const TestFolder folder;
  write_file(folder / "in/bad.txt", "good\xff");
  write_file(folder / "in/empty.txt", "");
  write_file(folder / "in/cut.txt", "euro \xe2\x82");
  write_file(folder / "in/json.jsonl",
             "{\"text\": \"fine\"}\n{\"text\": 3}\n{broken\n{\"other\": 1}\n{\"text\": \"\"}\n"
             "{\"text\": \"fine\", \"domain\": 4}\n");
  write_file(folder / "in/raw.jsonl", "{\"text\": \"fine\"}\n{\"text\": \"\xc0\x80\"}\n");
  const std::string error = build_error(folder, {folder / "in", folder / "missing"});
  EXPECT_EQ(error.rfind("2: ", 0), 0u) << error;
  for (const std::string part :
       {"in/bad.txt: byte 4: ", "in/empty.txt: byte 0: ", "in/cut.txt: byte 5: ", "in/json.jsonl: byte 17: ",
        "in/json.jsonl: byte 29: ", "in/json.jsonl: byte 37: ", "in/json.jsonl: byte 50: ",
        "in/json.jsonl: byte 63: 'domain'", "in/raw.jsonl: byte 27: ", "missing"})
    EXPECT_NE(error.find(part), std::string::npos) << part << "\n" << error;
}

TEST(Build, RefusesWhatCannotBecomeACorpus) {
  const TestFolder folder;
  write_file(folder / "one.txt", "alone");
  EXPECT_EQ(build_error(folder, {folder / "one.txt"}).rfind("2: ", 0), 0u);
  std::filesystem::create_directories(folder / "nothing");
  EXPECT_EQ(build_error(folder, {folder / "nothing"}).rfind("2: ", 0), 0u);
  const std::string standing = small_corpus(folder, 5), manifest = read_file(standing + "/manifest.json");
  BuildOptions options;
  options.inputs = {folder / "text"};
  options.out = standing;
  EXPECT_EQ(error_of([&] { build_corpus(options); }).rfind("2: " + standing, 0), 0u);
  EXPECT_EQ(read_file(standing + "/manifest.json"), manifest);
}

TEST(Build, AFolderThatCannotBeMadeIsNamed) {
  const TestFolder folder;
  small_corpus(folder, 5);
  write_file(folder / "file", "text");
  BuildOptions options;
  options.inputs = {folder / "text"};
  options.out = folder / "file/corpus";
  const std::string error = error_of([&] { build_corpus(options); });
  EXPECT_EQ(error.rfind("2: cannot make the folder " + folder / "file/corpus", 0), 0u) << error;
}

TEST(Build, AFailedTokenizerLeavesNothing) {
  const TestFolder folder;
  small_corpus(folder, 5);
  for (const char* tokenizer : {"neither", "bpe"}) {
    BuildOptions options;
    options.inputs = {folder / "text"};
    options.out = folder / "other";
    options.tokenizer = tokenizer;
    options.vocabulary = 1 << 20;  // more pieces than there is text
    EXPECT_NE(error_of([&] { build_corpus(options); }), "") << tokenizer;
    EXPECT_FALSE(std::filesystem::exists(folder / "other.tmp")) << tokenizer;
  }
}

TEST(Build, TakesAFolderWithASlash) {
  const TestFolder folder;
  write_file(folder / "in/a.txt", "a");
  write_file(folder / "in/b.txt", "b");
  BuildOptions options;
  options.inputs = {folder / "in/"};
  options.out = folder / "corpus/";
  build_corpus(options);
  EXPECT_EQ(Corpus::open(folder / "corpus").domains(), std::vector<std::string>{"in"});
}

/// RFC 3629, table of section 4, and the well-known places where decoders go wrong.
TEST(Utf8, FindsTheFirstBadByte) {
  for (const std::string good : {"", "abc", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                                 "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_EQ(first_bad_utf8(good), -1) << good;
  for (const std::string bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe2\x82",
                                "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xe2\x28\xa1"})
    EXPECT_EQ(first_bad_utf8("ok" + bad), 2) << bad;
}

}  // namespace
}  // namespace switchyard::data
