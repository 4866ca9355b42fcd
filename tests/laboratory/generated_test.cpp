// A generated folder is read back as it was made; one that was changed is damaged, whatever was changed.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>
#include <vector>

#include "base/check.hpp"
#include "base/files.hpp"
#include "base/philox.hpp"
#include "laboratory/experiment.hpp"
#include "laboratory/generate.hpp"
#include "support/child.hpp"
#include "support/folder.hpp"
#include "support/refusal.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::laboratory;
using Json = nlohmann::json;

/// What reading says of a folder whose generator.json is changed so.
std::string said(const std::string& folder, const std::string& key, const Json& value) {
  const std::string file = folder + "/generator.json", before = files::read_text(file);
  Json json = Json::parse(before);
  json[key] = value;
  files::write_text(file, json.dump());
  std::string text;
  try {
    holds_facts(folder);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::corrupt) << key << " " << value;
    text = error.what();
  }
  files::write_text(file, before);
  EXPECT_NE(text.find("generator.json is damaged ("), text.npos) << key << " " << value << ": " << text;
  return text;
}

/// Changes a 16-bit token of a shard.
void set_token(const std::string& shard, std::size_t i, std::uint16_t token) {
  std::string bytes = files::read_text(shard);
  bytes.at(1024 + 2 * i) = static_cast<char>(token & 255), bytes.at(1024 + 2 * i + 1) = static_cast<char>(token >> 8);
  files::write_text(shard, bytes);
}

TEST(Generated, NumbersOfATreeAreInTheirRange) {
  const test::Folder folder;
  const std::string t1 = folder / "t1";
  generate({.tasks = 4, .keys = 2, .values = 3, .samples = 300, .out = t1});
  EXPECT_EQ(generator_of(t1).tasks(), 4);
  for (const auto& [key, values] :
       std::map<std::string, std::vector<Json>>{{"tasks", {0, 3, -4, 8192, 4294967300, 4.5, "4", nullptr}},
                                                {"keys", {0, -1, 2147483647, 50256, 18446744073709551615u}},
                                                {"values", {1, 0, 50256, 1e30}},
                                                {"samples", {0, -1, 9223372036854775807}},
                                                {"seed", {-1, 1.5, 1e300, "1", true, Json::array()}},
                                                {"shape", {"facts", "nice", 7, nullptr}},
                                                {"generator", {"t2", "t3", 1}}})
    for (const Json& value : values) said(t1, key, value);
  EXPECT_NE(said(t1, "tasks", 3).find("power of two"), std::string::npos);
  EXPECT_EQ(generator_of(t1).values, 3);
}

TEST(Generated, NumbersOfFactsAreInTheirRange) {
  const test::Folder folder;
  const std::string t2 = folder / "t2";
  generate({.shape = "facts", .values = 4, .facts = 40, .out = t2});
  EXPECT_EQ(facts_of(t2).facts, 40);
  for (const Json& value : {Json(0), Json(-40), Json(2147483647), Json(4294967336), Json(40.0), Json("40")})
    said(t2, "facts", value);
}

TEST(Generated, TokensOutOfTheirRangeAreDamage) {
  const test::Folder folder;
  const std::string t1 = folder / "t1", t2 = folder / "t2";
  generate({.tasks = 4, .keys = 2, .values = 3, .samples = 300, .out = t1});
  generate({.shape = "facts", .values = 4, .facts = 40, .out = t2});
  const auto refused = [](const auto& train) {
    try {
      train();
    } catch (const Error& error) {
      return error.code() == Exit::corrupt;
    }
    return false;
  };
  for (const std::size_t token : {0u, 1u, 2u, 897u, 898u, 899u}) {
    const std::string shard = t1 + "/t1_train_000000.bin", before = files::read_text(shard);
    set_token(shard, token, 50000);
    EXPECT_TRUE(refused([&] { run_experiment({.folder = t1}, 2); })) << token;
    files::write_text(shard, before);
  }
  EXPECT_FALSE(refused([&] { run_experiment({.folder = t1}, 2); }));
  set_token(t2 + "/t2_train_000000.bin", 7, 44);  // an answer beyond the last
  EXPECT_TRUE(refused([&] { run_facts({.folder = t2, .exposures = 1}, 2); }));
}

/// 16-bit tokens of a shard in the llm.c format, whose head counts them.
std::vector<int> tokens_of(const std::string& shard) {
  const std::string bytes = files::read_text(shard);
  std::int32_t head[3];
  std::memcpy(head, bytes.data(), sizeof head);
  EXPECT_EQ(head[0], 20240520);
  EXPECT_EQ(head[1], 1);
  EXPECT_EQ(bytes.size(), 1024 + 2 * static_cast<std::size_t>(head[2]));
  std::vector<int> tokens;
  for (std::size_t i = 1024; i + 1 < bytes.size(); i += 2)
    tokens.push_back(static_cast<unsigned char>(bytes[i]) + 256 * static_cast<unsigned char>(bytes[i + 1]));
  return tokens;
}

// Published folders must come out again from their seeds: Philox at (i, i >> 32, 0, 2), a task by its share, a key and
// a level by theirs; answers from Philox at (node, key, 0, 1). What is held out goes on where the training ends.
TEST(Generated, TokensFollowFromSeedAndNumber) {
  const test::Folder folder;
  for (const std::uint64_t seed : {std::uint64_t{1}, ~std::uint64_t{0}}) {
    const std::string path = folder / std::to_string(seed);
    generate({.shape = "clark", .tasks = 8, .keys = 6, .values = 9, .samples = 250, .seed = seed, .out = path});
    std::vector<int> tokens = tokens_of(path + "/t1_train_000000.bin");
    EXPECT_EQ(tokens.size(), 750u);
    for (const int token : tokens_of(path + "/t1_val_000000.bin")) tokens.push_back(token);
    ASSERT_EQ(tokens.size(), 756u);
    const auto bits = [&](std::uint32_t a, std::uint32_t b, std::uint32_t purpose) {
      return philox(stream_key(seed, Purpose::laboratory), {{a, b, 0, purpose}});
    };
    const auto scaled = [](std::uint32_t word, int n) { return static_cast<int>((std::uint64_t{word} * n) >> 32); };
    for (std::uint32_t i = 0; i < 252; ++i) {
      const Philox drawn = bits(i, 0, 2);
      const int task = static_cast<int>((drawn.v[0] + 0.5) / 4294967296.0 * 8), key = scaled(drawn.v[1], 6),
                level = 1 + static_cast<int>((drawn.v[2] + 0.5) / 4294967296.0 * 3);  // levels 1, 2, 3 alike
      const auto node = static_cast<std::uint32_t>((1 << level) + task / (8 >> level));
      const int answer = (level - 1) * 9 + scaled(bits(node, static_cast<std::uint32_t>(key), 1).v[0], 9);
      EXPECT_EQ(std::vector(tokens.begin() + 3 * i, tokens.begin() + 3 * i + 3),
                (std::vector{task, 8 + key, 8 + 6 + answer}))
          << i;
    }
    EXPECT_EQ(generator_of(path).seed, seed);
  }
}

// The table beside the tokens, each column by its definition.
TEST(Generated, TheTableHoldsTheExactLosses) {
  const test::Folder folder;
  for (const auto& [shape, rows] : {std::pair{"zipf", 7}, std::pair{"bend", 5}}) {
    const std::string path = folder / shape;
    generate({.shape = shape, .tasks = 4, .keys = 2, .values = 3, .samples = 10, .seed = 6, .out = path});
    const TreeTasks t = generator_of(path);
    std::istringstream table(files::read_text(path + "/ideal.csv"));
    std::string line;
    std::getline(table, line);
    EXPECT_EQ(line, "experts,floor,ideal,hash,hash_mean,hash_sd,even,balanced");
    for (int row = 0; row < rows; ++row) {
      const int experts = 1 << row;
      std::vector<double> drawn;
      for (std::uint64_t i = 0; i < 32; ++i) drawn.push_back(assignment_loss(t, hash_assignment(t, experts, 6 + i)));
      const double mean = std::accumulate(drawn.begin(), drawn.end(), 0.0) / 32;
      double squares = 0.0;
      for (const double x : drawn) squares += (x - mean) * (x - mean);
      std::vector<double> expected{double(experts),
                                   floor_loss(t),
                                   assignment_loss(t, ideal_assignment(t, experts)),
                                   drawn[0],
                                   mean,
                                   std::sqrt(squares / 31),
                                   assignment_loss(t, even_assignment(t, experts))};
      if (t.shape == "zipf") expected.push_back(balanced_loss(t, experts));
      std::getline(table, line);
      std::istringstream cells(line);
      std::string cell;
      for (const double value : expected) {
        ASSERT_TRUE(std::getline(cells, cell, ',')) << line;
        EXPECT_NEAR(std::stod(cell), value, 1e-7) << line;
      }
      EXPECT_FALSE(std::getline(cells, cell, ',')) << line;
    }
    EXPECT_FALSE(std::getline(table, line)) << line;
  }
}

TEST(Generated, OptionsEndWhereAShardEnds) {
  const test::Folder folder;
  const struct {
    GenerateOptions options;
    const char* says;  // "" where it is made
  } rows[] = {
      {{.shape = "knee", .tasks = 2, .keys = 4, .values = 50250, .samples = 1, .out = {}}, ""},
      {{.shape = "knee", .tasks = 2, .keys = 4, .values = 50251, .samples = 1, .out = {}}, "make 50257 tokens"},
      {{.shape = "facts", .values = 56, .facts = 50200, .out = {}}, ""},
      {{.shape = "facts", .values = 57, .facts = 50200, .out = {}}, "make 50257 tokens"},
      {{.shape = "facts", .values = 1, .facts = 1, .out = {}}, "--values must be at least 2"},
      {{.shape = "facts", .facts = -1, .out = {}}, "--facts must be at least 1"},
      {{.tasks = 1, .out = {}}, "--tasks is 1"},
      {{.tasks = 8192, .out = {}}, "--tasks is 8192"},
      {{.tasks = -4, .out = {}}, "--tasks is -4"},
      {{.tasks = 4, .keys = 0, .out = {}}, "--keys must be at least 1"},
      {{.tasks = 4096, .keys = 257, .out = {}}, "--tasks * --keys is 1052672"},
      {{.tasks = 4, .samples = 0, .out = {}}, "--samples is 0"},
      {{.shape = "Bend", .tasks = 4, .out = {}}, "shape Bend is not known"},
  };
  int number = 0;
  for (const auto& row : rows) {
    GenerateOptions o = row.options;
    o.out = folder / std::to_string(number++);
    const std::string said = test::refusal([&] { generate(o); });
    EXPECT_TRUE(*row.says ? said.starts_with("2 ") && said.find(row.says) != said.npos : said.empty()) << said;
    EXPECT_EQ(std::filesystem::exists(o.out), !*row.says) << said;
  }
}

TEST(Generated, AFullDiskLeavesNothing) {
  const test::Folder folder;
  for (const char* shape : {"bend", "facts"}) {
    const auto full = [&] {
      test::limit_files(2000);
      return static_cast<int>(test::code_of([&] {
        generate({.shape = shape, .tasks = 4, .keys = 2, .values = 3, .samples = 3000, .out = folder / "t"});
      }));
    };
    EXPECT_EQ(test::in_child(full), static_cast<int>(Exit::storage)) << shape;
    EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << shape;
  }
}

}  // namespace
