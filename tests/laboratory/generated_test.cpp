// A generated folder is read back as it was made; one that was changed is damaged, whatever was changed.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/check.hpp"
#include "base/files.hpp"
#include "laboratory/experiment.hpp"
#include "laboratory/generate.hpp"
#include "support/folder.hpp"

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

}  // namespace
