// What a split's writer leaves on disk, byte by byte, and the manifest of it: there and back, and what it refuses.
#include "data/split_writer.hpp"

#include <nlohmann/json.hpp>
#include <random>

#include "base/files.hpp"
#include "data/check.hpp"
#include "data/manifest.hpp"
#include "data/support.hpp"

namespace switchyard::data {
namespace {

struct Written {
  std::vector<std::int32_t> ids;
  std::int64_t bytes;
  int domain;
};

/// The format as the schema has it: numbers of `bytes` bytes, the lowest first.
void append_number(std::string& out, std::uint64_t number, int bytes) {
  for (int b = 0; b < bytes; ++b) out += static_cast<char>(number >> (8 * b) & 0xff);
}

std::vector<Written> documents_of(int token_bits, unsigned seed) {
  std::mt19937 random(seed);
  const std::int64_t vocabulary = token_bits == 16 ? 65536 : 2147483647;
  std::vector<Written> documents{{{0}, 0, 2}, {{static_cast<std::int32_t>(vocabulary - 1), 256, 255}, 9, 0}};
  for (int i = 0; i < 40; ++i) {
    Written d{{}, static_cast<std::int64_t>(random() % 5000), static_cast<int>(random() % 3)};
    for (unsigned n = 1 + random() % 700; n > 0; --n)
      d.ids.push_back(static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(vocabulary)));
    documents.push_back(d);
  }
  return documents;
}

TEST(SplitWriter, WritesTokensAndTableLowestByteFirst) {
  for (const int token_bits : {16, 32})
    for (const Split split : {Split::train, Split::validation}) {
      const TestFolder folder;
      const auto documents = documents_of(token_bits, 3);
      SplitEntry entry;
      SplitWriter writer(split, folder.path(), token_bits, entry);
      std::string tokens, table;
      std::int64_t first = 0, bytes = 0;
      for (const Written& d : documents) {
        writer.add(d.ids, d.bytes, d.domain);
        for (const std::int32_t id : d.ids) append_number(tokens, static_cast<std::uint32_t>(id), token_bits / 8);
        const auto count = std::ssize(d.ids);
        for (const std::int64_t v : {first, count, d.bytes, std::int64_t{d.domain}})
          append_number(table, static_cast<std::uint64_t>(v), 8);
        first += count, bytes += d.bytes;
      }
      writer.close();
      const std::string name = split == Split::train ? "train" : "validation";
      EXPECT_EQ(names_of(folder.path()), (std::vector<std::string>{name + "-00000.bin", name + ".documents.bin"}));
      EXPECT_EQ(read_file(folder / (name + "-00000.bin")), tokens);
      EXPECT_EQ(read_file(folder / (name + ".documents.bin")), table);
      ASSERT_EQ(entry.shards.size(), 1u);
      EXPECT_EQ(entry.shards[0].file, name + "-00000.bin");
      EXPECT_EQ(entry.shards[0].tokens, first);
      EXPECT_EQ(entry.shards[0].sha256, files::sha256_of_text(tokens));
      EXPECT_EQ(entry.document_file, name + ".documents.bin");
      EXPECT_EQ(entry.document_sha256, files::sha256_of_text(table));
      EXPECT_EQ(entry.tokens, first);
      EXPECT_EQ(entry.bytes, bytes);
      EXPECT_EQ(entry.documents, std::ssize(documents));
    }
}

TEST(SplitWriter, AnEmptySplitIsATableOfNoRows) {
  const TestFolder folder;
  SplitEntry entry;
  SplitWriter(Split::train, folder.path(), 16, entry).close();
  EXPECT_EQ(names_of(folder.path()), std::vector<std::string>{"train.documents.bin"});
  EXPECT_TRUE(entry.shards.empty());
  // SHA-256 of the empty text, FIPS 180-4.
  EXPECT_EQ(entry.document_sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/// /dev/full takes every open and no byte: a short text fails when the file is closed, a long one before.
TEST(SplitWriter, AFullDiskIsNamedWithItsFile) {
  for (const char* name : {"train-00000.bin", "train.documents.bin"})
    for (const int tokens : {1, 100000}) {
      const TestFolder folder;
      std::filesystem::create_symlink("/dev/full", folder / name);
      SplitEntry entry;
      SplitWriter writer(Split::train, folder.path(), 16, entry);
      const std::string error = error_of([&] {
        writer.add(std::vector<std::int32_t>(tokens, 1), 1, 0);
        writer.close();
      });
      EXPECT_EQ(error.rfind("5: cannot write " + (folder / name) + " (", 0), 0u) << tokens << error;
      EXPECT_NE(error.find("; free some space"), std::string::npos) << error;
    }
}

TEST(SplitWriter, APlaceThatIsNoneIsNamed) {
  const TestFolder folder;
  std::filesystem::create_directories(folder / "train-00000.bin");
  SplitEntry a, b;
  SplitWriter taken(Split::train, folder.path(), 16, a), nowhere(Split::train, folder / "none", 16, b);
  EXPECT_EQ(error_of([&] { taken.add({1}, 1, 0); }).rfind("2: cannot write " + (folder / "train-00000.bin"), 0), 0u);
  EXPECT_EQ(error_of([&] { nowhere.add({1}, 1, 0); }).rfind("2: cannot write " + (folder / "none/train-0"), 0), 0u);
}

/// Two shards and a table a split, with sums that only look like some.
Manifest sample(bool sentencepiece) {
  Manifest m;
  m.tokenizer = sentencepiece ? "sentencepiece" : "bytes";
  if (sentencepiece) m.tokenizer_file = "tokenizer.model", m.tokenizer_sha256 = std::string(64, 'f');
  m.vocabulary = 70000, m.end_token = 69999, m.token_bits = 32;
  m.domains = {"", "π \"quoted\"\n", "a/b"};
  int sum = 0;
  for (const Split split : {Split::train, Split::validation}) {
    SplitEntry& s = m.of(split);
    const std::string name = split_name(split);
    for (const std::int64_t tokens : {std::int64_t{1} << 40, std::int64_t{0}}) {
      s.shards.push_back({name + std::to_string(tokens), tokens + sum, std::string(64, "0123456789abcdef"[sum])});
      s.tokens += s.shards.back().tokens, ++sum;
    }
    s.bytes = (std::int64_t{1} << 62) + sum, s.documents = sum;
    s.document_file = name + " table", s.document_sha256 = std::string(64, "0123456789abcdef"[sum++]);
  }
  return m;
}

void expect_same(const SplitEntry& a, const SplitEntry& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.bytes, b.bytes);
  EXPECT_EQ(a.documents, b.documents);
  EXPECT_EQ(a.document_file, b.document_file);
  EXPECT_EQ(a.document_sha256, b.document_sha256);
  ASSERT_EQ(a.shards.size(), b.shards.size());
  for (std::size_t i = 0; i < a.shards.size(); ++i) {
    EXPECT_EQ(a.shards[i].file, b.shards[i].file);
    EXPECT_EQ(a.shards[i].tokens, b.shards[i].tokens);
    EXPECT_EQ(a.shards[i].sha256, b.shards[i].sha256);
  }
}

TEST(CorpusManifest, EveryFieldComesBack) {
  for (const bool sentencepiece : {false, true}) {
    const TestFolder folder;
    const Manifest m = sample(sentencepiece);
    write_file(folder / "manifest.json", to_json(m));
    std::string sum;
    const Manifest back = read_manifest(folder.path(), &sum);
    EXPECT_EQ(sum, files::sha256_of_text(to_json(m)));
    EXPECT_EQ(back.tokenizer, m.tokenizer);
    EXPECT_EQ(back.tokenizer_file, m.tokenizer_file);
    EXPECT_EQ(back.tokenizer_sha256, m.tokenizer_sha256);
    EXPECT_EQ(back.vocabulary, m.vocabulary);
    EXPECT_EQ(back.end_token, m.end_token);
    EXPECT_EQ(back.token_bits, m.token_bits);
    EXPECT_EQ(back.domains, m.domains);
    for (const Split split : {Split::train, Split::validation}) expect_same(back.of(split), m.of(split));
    EXPECT_EQ(to_json(back), to_json(m));
    std::vector<std::string> names;
    for (const auto& [file, sha256] : listed_files(back)) names.push_back(file + " " + sha256.substr(0, 1));
    std::vector<std::string> wanted{"train1099511627776 0",      "train0 1",      "train table 2",
                                    "validation1099511627776 3", "validation0 4", "validation table 5"};
    if (sentencepiece) wanted.insert(wanted.begin(), "tokenizer.model f");
    EXPECT_EQ(names, wanted);
  }
}

struct Refused {
  const char* name;
  const char* place;  ///< JSON pointer of the member that is changed
  nlohmann::json value;
  std::string reason;
};

const Refused refusals[] = {
    {"a sum of 63 digits", "/splits/train/documents/sha256", std::string(63, 'a'), "is no sha256"},
    {"a sum of 65 digits", "/splits/train/shards/1/sha256", std::string(65, 'a'), "is no sha256"},
    {"a sum in capitals", "/splits/validation/shards/0/sha256", std::string(64, 'A'), "is no sha256"},
    {"the model's sum", "/tokenizer/sha256", "x", "is no sha256"},
    {"the model elsewhere", "/tokenizer/file", "a/b", "is no name of a file in the folder"},
    {"one shard in both splits", "/splits/validation/shards/0/file", "train0", "'train0' is listed twice"},
    {"a shard as its split's table", "/splits/train/documents/file", "train0", "'train0' is listed twice"},
    {"the manifest as the model", "/tokenizer/file", "manifest.json", "'manifest.json' is listed twice"},
    {"a domain twice", "/domains/2", "", "a domain is listed twice"},
    {"one token too many", "/splits/validation/tokens", (std::int64_t{1} << 40) + 6, "a split promises 1099511627782 "},
    {"an end token outside", "/end_token", 70000, "end_token is 70000, not a whole number from 0 to 69999"},
    {"narrow tokens", "/token_bits", 16, "must be 16 or 32, and hold the vocabulary"},
    {"no split", "/splits/validation", nullptr, ""},
    {"tokens that are text", "/splits/train/shards/0/tokens", "7", "not a whole number"},
};

TEST(CorpusManifest, WhatContradictsItselfIsRefusedWithTheReason) {
  const TestFolder folder;
  const auto good = nlohmann::json::parse(to_json(sample(true)));
  for (const Refused& row : refusals) {
    SCOPED_TRACE(row.name);
    auto json = good;
    json.at(nlohmann::json::json_pointer(row.place)) = row.value;
    write_file(folder / "manifest.json", json.dump());
    const std::string error = error_of([&] { read_manifest(folder.path()); });
    EXPECT_EQ(error.rfind("4: " + (folder / "manifest.json") + " is damaged (", 0), 0u) << error;
    EXPECT_NE(error.find(row.reason), std::string::npos) << error;
    EXPECT_TRUE(error.ends_with("); build the corpus again")) << error;
  }
}

TEST(CorpusManifest, AVocabularyThatSixteenBitsHoldIsTakenUpToTheLast) {
  const TestFolder folder;
  Manifest m = sample(false);
  m.token_bits = 16;
  for (const int vocabulary : {65535, 65536, 65537}) {
    m.vocabulary = vocabulary, m.end_token = vocabulary - 1;
    write_file(folder / "manifest.json", to_json(m));
    EXPECT_EQ(error_of([&] { read_manifest(folder.path()); }).empty(), vocabulary <= 65536) << vocabulary;
  }
}

/// The library alone would keep the last of two members, and end at a byte 0.
TEST(CorpusManifest, TextThatReadersUnderstandDifferentlyIsRefused) {
  const TestFolder folder;
  const std::string text = to_json(sample(false));
  const auto error_with = [&](const std::string& changed) {
    write_file(folder / "manifest.json", changed);
    return error_of([&] { read_manifest(folder.path()); });
  };
  const std::string twice = error_with("{\"end_token\": 1," + text.substr(1));
  EXPECT_NE(twice.find("it has the member \"end_token\" twice"), std::string::npos) << twice;
  for (const std::string& bad : {text + '\0', text + "{}", text.substr(0, text.size() - 2), std::string()})
    EXPECT_EQ(error_with(bad).rfind("4: ", 0), 0u) << bad.size();
  EXPECT_EQ(error_with("[]").rfind("4: ", 0), 0u);
  EXPECT_EQ(error_with(R"({"schema": "other", "schema_version": 1})").rfind("2: ", 0), 0u);
  EXPECT_EQ(error_with(R"({"schema": "switchyard-corpus", "schema_version": 1.0})").rfind("2: ", 0), 0u);
}

}  // namespace
}  // namespace switchyard::data
