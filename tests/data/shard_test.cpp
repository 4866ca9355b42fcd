// Shards of both widths and of the llm.c format, and damaged corpora: each fault is named with file and offset.
#include "data/shard.hpp"

#include <sys/stat.h>

#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/files.hpp"
#include "data/check.hpp"
#include "data/corpus.hpp"
#include "data/manifest.hpp"
#include "data/support.hpp"

namespace switchyard::data {
namespace {

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

/// An llm.c shard whose header promises `promised` tokens.
void write_llmc(const std::string& path, const std::vector<std::uint16_t>& tokens, int promised) {
  std::vector<std::int32_t> header(256);
  header[0] = 20240520, header[1] = 1, header[2] = promised;
  write_file(path, bytes_of(header) + bytes_of(tokens));
}

SplitEntry write_split(const std::string& folder, const std::string& name,
                       const std::vector<std::vector<std::uint32_t>>& shards) {
  SplitEntry entry;
  for (const auto& shard : shards) {
    const std::string file = name + std::to_string(entry.shards.size()) + ".bin";
    write_file(folder + "/" + file, bytes_of(shard));
    entry.shards.push_back({file, static_cast<std::int64_t>(shard.size()), files::sha256_of_file(folder + "/" + file)});
    entry.tokens += static_cast<std::int64_t>(shard.size());
  }
  entry.document_file = name + ".documents.bin";
  entry.documents = 1, entry.bytes = 9;
  write_file(folder + "/" + entry.document_file, bytes_of(std::vector<std::int64_t>{0, entry.tokens, 9, 0}));
  entry.document_sha256 = files::sha256_of_file(folder + "/" + entry.document_file);
  return entry;
}

/// A corpus with u32 tokens; the training stream is spread over three shards.
std::string wide_corpus(const TestFolder& folder) {
  const std::string path = folder / "wide";
  Manifest m;
  m.tokenizer = "bytes", m.vocabulary = 257, m.end_token = 256, m.token_bits = 32, m.domains = {"x"};
  m.of(Split::train) = write_split(path, "train", {{1, 70, 3}, {4}, {5, 256}});
  m.of(Split::validation) = write_split(path, "validation", {{65, 256}});
  write_file(path + "/manifest.json", to_json(m));
  return path;
}

TEST(Shards, WideTokensAreReadAcrossShards) {
  const TestFolder folder;
  const std::string path = wide_corpus(folder);
  const Corpus corpus = Corpus::open(path);
  const std::vector<std::int32_t> all{1, 70, 3, 4, 5, 256};
  for (int first = 0; first < 6; ++first)
    for (int count = 0; first + count <= 6; ++count) {
      std::vector<std::int32_t> ids(count);
      corpus.read(Split::train, first, count, ids.data());
      EXPECT_EQ(ids, std::vector<std::int32_t>(all.begin() + first, all.begin() + first + count));
    }
  EXPECT_TRUE(check_corpus(path).empty()) << check_corpus(path).front();
  write_file(folder / "high.bin", bytes_of(std::vector<std::uint32_t>{65536, 65535, 99999}));
  std::int32_t high[3];
  Shard::open(folder / "high.bin", 32, 3).read(0, 3, 100000, high);
  EXPECT_EQ(std::vector<std::int32_t>(high, high + 3), (std::vector<std::int32_t>{65536, 65535, 99999}));
}

TEST(Shards, ATokenOutOfRangeIsNamedWithItsByte) {
  const TestFolder folder;
  const std::string path = wide_corpus(folder);
  patch_file(path + "/train2.bin", 4, bytes_of(std::vector<std::uint32_t>{100000}));
  const Corpus corpus = Corpus::open(path);
  std::int32_t ids[6];
  const std::string error = error_of([&] { corpus.read(Split::train, 0, 6, ids); });
  EXPECT_EQ(error.rfind("4: " + path + "/train2.bin: byte 4: token 100000", 0), 0u) << error;
  const auto problems = check_corpus(path);
  ASSERT_EQ(problems.size(), 2u);  // the sum, and the token
  EXPECT_NE(problems[0].find("train2.bin: sha256"), std::string::npos) << problems[0];
  EXPECT_NE(problems[1].find("train2.bin: byte 4"), std::string::npos) << problems[1];
}

TEST(Shards, OneThatIsCutWhileItIsOpenIsNamed) {
  const TestFolder folder;
  const std::string path = wide_corpus(folder);
  const Corpus corpus = Corpus::open(path);
  std::filesystem::resize_file(path + "/train0.bin", 4);
  std::int32_t ids[6];
  const std::string error = error_of([&] { corpus.read(Split::train, 0, 6, ids); });
  EXPECT_EQ(error.rfind("4: " + path + "/train0.bin ends at byte 4", 0), 0u) << error;
}

TEST(Shards, WhatIsNoFileDoesNotHang) {
  const TestFolder folder;
  const std::string path = wide_corpus(folder);
  for (const std::string name : {"train1.bin", "validation.documents.bin", "manifest.json"}) {
    const std::string before = read_file(path + "/" + name);
    std::filesystem::remove(path + "/" + name);
    ASSERT_EQ(::mkfifo((path + "/" + name).c_str(), 0600), 0);
    const std::string error = error_of([&] { Corpus::open(path); });
    EXPECT_EQ(error.rfind("4: " + path + "/" + name + " is no regular file", 0), 0u) << error;
    ASSERT_FALSE(check_corpus(path).empty());
    EXPECT_NE(check_corpus(path)[0].find(name), std::string::npos) << check_corpus(path)[0];
    std::filesystem::remove(path + "/" + name);
    write_file(path + "/" + name, before);
  }
}

TEST(Shards, ATruncatedFileIsNamedWithItsSizes) {
  const TestFolder folder;
  const std::string path = wide_corpus(folder);
  std::filesystem::resize_file(path + "/train0.bin", 7);
  const std::string error = error_of([&] { Corpus::open(path); });
  EXPECT_EQ(error.rfind("4: " + path + "/train0.bin", 0), 0u) << error;
  EXPECT_NE(error.find("7 bytes"), std::string::npos) << error;
  EXPECT_NE(error.find("12"), std::string::npos) << error;
  EXPECT_FALSE(check_corpus(path).empty());
}

TEST(Shards, DamageIsFound) {
  const TestFolder folder;
  const std::string path = small_corpus(folder, 20);
  for (const auto& file : std::filesystem::directory_iterator(path)) {
    if (file.path().filename() == "manifest.json") continue;
    const std::string name = file.path().string(), before = read_file(name);
    patch_file(name, 8, std::string(1, static_cast<char>(before[8] ^ 1)));
    ASSERT_EQ(check_corpus(path).size(), 1u) << name;
    EXPECT_EQ(check_corpus(path)[0].rfind(name + ": sha256", 0), 0u) << check_corpus(path)[0];
    const bool shard = name.find("0.bin") != std::string::npos;  // its sum is compared by check_corpus
    EXPECT_EQ(error_of([&] { Corpus::open(path); }), shard ? "" : "4: " + check_corpus(path)[0]);
    write_file(name, before);
  }
  EXPECT_TRUE(check_corpus(path).empty());
  std::filesystem::remove(path + "/train.documents.bin");
  EXPECT_EQ(error_of([&] { Corpus::open(path); }).rfind("4: cannot open " + path + "/train.documents.bin", 0), 0u);
}

TEST(Manifest, WhatCannotBeUnderstoodIsNamed) {
  const TestFolder folder;
  const std::string path = small_corpus(folder, 20), file = path + "/manifest.json", before = read_file(file);
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = before;
    EXPECT_NE(text.find(from), std::string::npos) << from;
    text.replace(text.find(from), from.size(), to);
    write_file(file, text);
    return error_of([&] { Corpus::open(path); });
  };
  EXPECT_EQ(with("\"schema_version\": 1", "\"schema_version\": 99").rfind("2: " + file, 0), 0u);
  EXPECT_EQ(with("\"vocabulary\": 257", "\"vocabulary\": \"many\"").rfind("4: " + file, 0), 0u);
  EXPECT_EQ(with("\"end_token\"", "\"other\"").rfind("4: " + file, 0), 0u);
  EXPECT_EQ(with("{", "[").rfind("4: " + file, 0), 0u);
  EXPECT_EQ(error_of([&] { Corpus::open(folder / "nowhere"); }).rfind("2: " + (folder / "nowhere"), 0), 0u);
}

/// Each of these once ended in a crash, a hang or a corpus of nonsense.
TEST(Manifest, NumbersNamesAndSumsAreThoseOfACorpus) {
  const TestFolder folder;
  const std::string path = wide_corpus(folder), file = path + "/manifest.json";
  const auto before = nlohmann::json::parse(read_file(file));
  const auto with = [&](const char* place, const nlohmann::json& value) {
    auto json = before;
    json[nlohmann::json::json_pointer(place)] = value;
    write_file(file, json.dump());
    const std::string error = error_of([&] { Corpus::open(path); });
    EXPECT_EQ(error.rfind("4: ", 0), 0u) << place << " " << value << ": " << error;
    EXPECT_NE(error.find(path), std::string::npos) << place << " " << value << ": " << error;
    const auto problems = check_corpus(path);
    EXPECT_FALSE(problems.empty()) << place << " " << value;
  };
  const std::int64_t large = std::int64_t{1} << 60;
  for (const nlohmann::json& value :
       std::vector<nlohmann::json>{0, -1, 1 << 30, std::int64_t{1} << 31, 1e9, 3.5, true, nullptr, "257"})
    with("/vocabulary", value);
  for (const nlohmann::json& value : std::vector<nlohmann::json>{-1, 257, 5, "x"}) with("/end_token", value);
  for (const nlohmann::json& value : std::vector<nlohmann::json>{0, 7, 16, 24, 64, "32"}) with("/token_bits", value);
  for (const nlohmann::json& value : std::vector<nlohmann::json>{0, nullptr, "x", std::vector<std::string>{}})
    with("/domains", value);
  for (const char* place : {"/splits/train/tokens", "/splits/train/shards/0/tokens", "/splits/train/documents/count",
                            "/splits/train/bytes"})
    for (const nlohmann::json& value : std::vector<nlohmann::json>{
             large + 3, -3, std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::uint64_t>::max(), 1e300})
      with(place, value);
  for (const char* place : {"/splits/train/shards/0/file", "/splits/train/documents/file"})
    for (const char* value : {"../../../dev/zero", "/dev/zero", "", ".", "..", "train1.bin", "manifest.json", "none"})
      with(place, value);
  for (const char* value : {"", "abc", "../x"}) with("/splits/train/shards/0/sha256", value);
  with("/tokenizer/kind", "words");
  with("/tokenizer", {{"kind", "sentencepiece"}, {"file", "../t"}, {"sha256", std::string(64, '0')}});
}

TEST(Manifest, DocumentsFollowOneAnother) {
  const TestFolder folder;
  const std::string path = wide_corpus(folder), table = path + "/train.documents.bin";
  Manifest m = read_manifest(path);
  for (const std::vector<std::int64_t>& row :
       std::vector<std::vector<std::int64_t>>{{1, 6, 9, 0},
                                              {0, 5, 9, 0},
                                              {0, 6, 9, 1},
                                              {0, 6, 9, -1},
                                              {0, 6, 8, 0},
                                              {0, -6, 9, 0},
                                              {-1, 6, 9, 0},
                                              {0, 6, 9, std::int64_t{1} << 32},
                                              {0, std::int64_t{1} << 62, 9, 0}}) {
    write_file(table, bytes_of(row));
    m.of(Split::train).document_sha256 = files::sha256_of_file(table);
    write_file(path + "/manifest.json", to_json(m));
    const std::string error = error_of([&] { Corpus::open(path); });
    EXPECT_EQ(error.rfind("4: " + table, 0), 0u) << error;
    ASSERT_EQ(check_corpus(path).size(), 1u);
    EXPECT_EQ("4: " + check_corpus(path)[0], error);
  }
}

TEST(LlmC, TheLastFiftiethIsHeldOut) {
  const TestFolder folder;
  std::vector<std::uint16_t> tokens;
  for (int i = 0; i < 1000; ++i) tokens.push_back(static_cast<std::uint16_t>(i * 50));
  write_llmc(folder / "a.bin", tokens, 1000);
  const Corpus corpus = Corpus::open(folder / "a.bin");
  EXPECT_EQ(corpus.vocabulary(), 50257);
  EXPECT_EQ(corpus.tokens(Split::train), 980);
  EXPECT_EQ(corpus.tokens(Split::validation), 20);
  EXPECT_TRUE(corpus.documents(Split::train).empty());
  std::vector<std::int32_t> ids(980);
  corpus.read(Split::train, 0, 980, ids.data());
  for (int i = 0; i < 980; ++i) EXPECT_EQ(ids[i], i * 50);
  corpus.read(Split::validation, 0, 20, ids.data());
  EXPECT_EQ(ids[0], 49000);
  EXPECT_EQ(ids[19], 49950);
  EXPECT_TRUE(check_corpus(folder / "a.bin").empty());
}

TEST(LlmC, AFolderOfShardsHasItsOwnHeldOutOnes) {
  const TestFolder folder;
  write_llmc(folder / "set/text_train_000001.bin", {1, 2, 3}, 3);
  write_llmc(folder / "set/text_train_000002.bin", {4, 5}, 2);
  write_llmc(folder / "set/text_val_000000.bin", {50256, 9}, 2);
  const Corpus corpus = Corpus::open(folder / "set");
  EXPECT_EQ(corpus.end_token(), 50256);
  EXPECT_EQ(corpus.tokens(Split::validation), 2);
  std::vector<std::int32_t> ids(5);
  corpus.read(Split::train, 0, 5, ids.data());
  EXPECT_EQ(ids, (std::vector<std::int32_t>{1, 2, 3, 4, 5}));
  EXPECT_TRUE(check_corpus(folder / "set").empty());
}

TEST(LlmC, BadShardsAreNamedWithTheirOffset) {
  const TestFolder folder;
  const std::string path = folder / "a.bin";
  const auto open = [&] { return error_of([&] { Corpus::open(path); }); };
  const auto number = [](std::int32_t v) { return bytes_of(std::vector<std::int32_t>{v}); };
  const std::vector<std::uint16_t> tokens(100, 7);
  write_llmc(path, tokens, 101);
  EXPECT_EQ(open().rfind("4: " + path + ": byte 8", 0), 0u) << open();
  write_llmc(path, tokens, -1);
  EXPECT_EQ(open().rfind("4: " + path + ": byte 8", 0), 0u) << open();
  for (const int few : {0, 1}) {
    write_llmc(path, std::vector<std::uint16_t>(few, 7), few);
    EXPECT_EQ(open().rfind("2: " + path + ": byte 8 promises " + std::to_string(few), 0), 0u) << open();
    EXPECT_EQ(error_of([&] { check_corpus(path); }), open());
  }
  write_llmc(path, tokens, 100);
  patch_file(path, 4, number(2));
  EXPECT_EQ(open().rfind("2: " + path + ": byte 4: version 2", 0), 0u) << open();
  patch_file(path, 0, number(20240801));
  EXPECT_EQ(open().rfind("2: " + path + ": byte 0: magic 20240801", 0), 0u) << open();
  std::filesystem::resize_file(path, 1000);
  EXPECT_EQ(open().rfind("4: " + path, 0), 0u) << open();
  write_file(path, "");
  EXPECT_EQ(open().rfind("4: " + path, 0), 0u) << open();
  std::vector<std::uint16_t> wrong = tokens;
  wrong[42] = 50257;
  write_llmc(path, wrong, 100);
  const auto problems = check_corpus(path);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].rfind(path + ": byte " + std::to_string(1024 + 84), 0), 0u) << problems[0];
}

}  // namespace
}  // namespace switchyard::data
