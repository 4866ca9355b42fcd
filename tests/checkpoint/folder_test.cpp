// What is known of a run's checkpoints without reading tensors: which folders are some, the step to go on from, what
// their manifests say, and which of them a new one removes.
#include "support/folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/files.hpp"
#include "base/schema_version.hpp"
#include "checkpoint/checkpoint.hpp"
#include "checkpoint/manifest.hpp"
#include "model_fixture.hpp"
#include "support/refusal.hpp"
#include "support/small_config.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::checkpoint;
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Names = std::vector<std::string>;

void write(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

Json state_json(std::int64_t step) {
  return {{"step", step}, {"tokens", 5}, {"bias", {{0.5}}}, {"corpus_sha256", "c"}, {"options", "o"}};
}

/// A folder whose manifest lists its state.json and nothing else.
void make_checkpoint(const std::string& run, const std::string& name, const std::string& state) {
  const std::string folder = run + "/checkpoints/" + name;
  write(folder + "/state.json", state);
  write(folder + "/manifest.json", manifest_text({measure_file(folder, "state.json")}));
}

Names names_of(const Names& paths) {
  Names names;
  for (const std::string& path : paths) names.push_back(fs::path(path).filename());
  return names;
}

TEST(Folders, AreThoseWhoseNameIsTheirStep) {
  const test::Folder run;
  const Names good{"step-100000000", "step-99999999", "step-00000120",
                   "step-00000020",  "step-00000003", "step-00000000"};
  const Names strange{"step-",
                      "step-+0000001",
                      "step--0000001",
                      "step-00000001x",
                      "step-000000012",
                      "step-1",
                      "step-99999999999999999999",
                      "STEP-00000001",
                      "step-0000000a",
                      "notes",
                      "xstep-00000001"};
  for (const Names& names : {good, strange, Names{".step-00000007.tmp", ".hidden"}})
    for (const std::string& name : names) make_checkpoint(run.path(), name, "{}");
  EXPECT_EQ(names_of(list_checkpoints(run.path())), good) << "newest first, by number and not by name";
  Names sorted = strange;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(names_of(strangers_of(run.path())), sorted);
  EXPECT_EQ(latest_checkpoint(run.path()), run / "checkpoints/step-100000000");
  fs::create_directories(run / "checkpoints/step-200000000");  // not complete
  write(run / "checkpoints/step-300000000", "a file");
  EXPECT_EQ(newest_folder(run.path()), run / "checkpoints/step-300000000");
  EXPECT_EQ(latest_checkpoint(run.path()), run / "checkpoints/step-100000000");
}

TEST(Folders, OfARunWithoutThemThereAreNone) {
  const test::Folder run;
  for (const bool made : {false, true}) {
    if (made) fs::create_directories(run / "checkpoints");
    EXPECT_TRUE(list_checkpoints(run.path()).empty());
    EXPECT_TRUE(strangers_of(run.path()).empty());
    EXPECT_EQ(newest_folder(run.path()) + latest_checkpoint(run.path()), "");
    std::string damage;
    EXPECT_EQ(checkpoint_step(run.path(), &damage), 0);
    EXPECT_EQ(damage, "");
  }
}

struct Damage {
  const char* name;
  void (*harm)(const std::string& folder);
  const char* reason;
};

void put_state(const std::string& folder, const std::string& text) {
  make_checkpoint(fs::path(folder).parent_path().parent_path(), fs::path(folder).filename(), text);
}

void put_member(const std::string& folder, const char* name, const Json& value) {
  Json json = state_json(20);
  json[name] = value;
  put_state(folder, json.dump());
}

const Damage damages[] = {
    {"one byte more", [](const std::string& f) { write(f + "/state.json", state_json(20).dump() + " "); },
     " bytes (the"},
    {"another byte",
     [](const std::string& f) {
       std::string text = files::read_text(f + "/state.json");
       write(f + "/state.json", text.replace(text.find("\"c\""), 3, "\"d\""));
     },
     "state.json is damaged (its sha256 is not the manifest's)"},
    {"no state", [](const std::string& f) { fs::remove(f + "/state.json"); }, "state.json is missing"},
    {"a link to the state",
     [](const std::string& f) {
       fs::rename(f + "/state.json", f + "/../moved");
       fs::create_symlink("../moved", f + "/state.json");
     },
     "state.json is no regular file"},
    {"a folder as state",
     [](const std::string& f) { fs::remove(f + "/state.json"), fs::create_directory(f + "/state.json"); },
     "state.json is no regular file"},
    {"unlisted", [](const std::string& f) { write(f + "/manifest.json", manifest_text({})); },
     "does not list state.json"},
    {"an empty manifest", [](const std::string& f) { write(f + "/manifest.json", ""); }, "manifest.json is damaged ("},
    {"a manifest that leads nowhere",
     [](const std::string& f) { fs::remove(f + "/manifest.json"), fs::create_symlink("none", f + "/manifest.json"); },
     "manifest.json"},
    {"of another step", [](const std::string& f) { put_state(f, state_json(21).dump()); },
     "not of the step in its folder's"},
    {"a step below 0", [](const std::string& f) { put_member(f, "step", -20); }, "step is -20, not a whole number"},
    {"a broken step", [](const std::string& f) { put_member(f, "step", 20.0); }, "step is 20.0, not a whole number"},
    {"tokens of 2^63", [](const std::string& f) { put_member(f, "tokens", std::uint64_t{1} << 63); },
     "tokens is 9223372"},
    {"planned steps as text", [](const std::string& f) { put_member(f, "planned_steps", "9"); }, "planned_steps is"},
    {"a bias that is no number", [](const std::string& f) { put_member(f, "bias", {{nullptr}}); },
     "state.json is damaged"},
    {"a flat bias", [](const std::string& f) { put_member(f, "bias", {0.5}); }, "state.json is damaged"},
    {"no options", [](const std::string& f) { put_member(f, "options", nullptr); }, "state.json is damaged"},
    {"a member twice", [](const std::string& f) { put_state(f, R"({"step": 20, "step": 20})"); }, "\"step\" twice"},
    {"no JSON", [](const std::string& f) { put_state(f, "{"); }, "state.json is damaged"},
};

/// The step is that of the newest folder whose state is whole, and what is wrong with the newest one is told.
TEST(Folders, AStepIsThatOfTheNewestWholeState) {
  for (const Damage& row : damages) {
    SCOPED_TRACE(row.name);
    const test::Folder run;
    make_checkpoint(run.path(), "step-00000010", state_json(10).dump());
    make_checkpoint(run.path(), "step-00000020", state_json(20).dump());
    std::string damage;
    EXPECT_EQ(checkpoint_step(run.path(), &damage), 20);
    EXPECT_EQ(damage, "");
    row.harm(run / "checkpoints/step-00000020");
    EXPECT_EQ(checkpoint_step(run.path(), &damage), 10);
    EXPECT_NE(damage.find(run / "checkpoints/step-00000020/"), std::string::npos) << damage;
    EXPECT_NE(damage.find(row.reason), std::string::npos) << damage;
    const std::string newest = damage;
    write(run / "checkpoints/step-00000010/state.json", "");
    EXPECT_EQ(checkpoint_step(run.path(), &(damage = "")), 0);
    EXPECT_EQ(damage, newest) << "the newest one's";
    EXPECT_EQ(checkpoint_step(run.path()), 0);
  }
}

TEST(Manifest, IsSortedAndComesBack) {
  const std::vector<ManifestEntry> entries{
      {"state.json", 0, std::string(64, '1')}, {"a π \"b\"", std::int64_t{1} << 62, "2"}, {"dense.h5", 7, ""}};
  const std::string text = manifest_text(entries);
  EXPECT_EQ(text, manifest_text({entries[2], entries[0], entries[1]})) << "whatever the order";
  const auto back = parse_manifest(text, "m");
  ASSERT_EQ(back.size(), 3u);
  for (const auto& [place, entry] : {std::pair(0, 1), {1, 2}, {2, 0}}) {
    EXPECT_EQ(back[place].name, entries[entry].name);
    EXPECT_EQ(back[place].bytes, entries[entry].bytes);
    EXPECT_EQ(back[place].sha256, entries[entry].sha256);
  }
  EXPECT_TRUE(parse_manifest(manifest_text({}), "m").empty());
}

TEST(Manifest, OfAllVersionsThatAreReadAndNoOther) {
  Json json = Json::parse(manifest_text({{"a", 1, "s"}}));
  for (const std::int64_t version : {0, 1, 2, 3, 4, 5, 1000}) {
    json["schema_version"] = version;
    const std::string refusal = test::refusal([&] { parse_manifest(json.dump(), "m"); });
    const bool known = version >= oldest_schema_version && version <= schema_version;
    EXPECT_EQ(refusal, known ? ""
                             : "2 m has a schema version that this program does not know; use the version that wrote "
                               "it")
        << version;
  }
}

TEST(Manifest, NamesAndSizesThatCannotBeAreRefused) {
  const Json good = Json::parse(manifest_text({{"a", 1, "s"}}));
  const auto refusal_with = [&](const char* place, const Json& value) {
    Json json = good;
    json.at(Json::json_pointer(place)) = value;
    return test::refusal([&] { parse_manifest(json.dump(), "m"); });
  };
  for (const std::string& name : {std::string(), std::string("."), std::string(".."), std::string("../a"),
                                  std::string("/a"), std::string("a/"), std::string("a\0b", 3)})
    EXPECT_EQ(refusal_with("/files/0/name", name).rfind("4 m is damaged (", 0), 0u) << name;
  for (const Json& bytes : std::vector<Json>{-1, 1.0, "1", nullptr, std::uint64_t{1} << 63})
    EXPECT_EQ(refusal_with("/files/0/bytes", bytes).rfind("4 m is damaged (bytes is ", 0), 0u) << bytes;
  for (const char* place : {"/files/0/name", "/files/0/sha256", "/files/0", "/files", "/schema_version"})
    for (const Json& value : std::vector<Json>{7.5, std::vector<int>{1}}) {
      const std::string refusal = refusal_with(place, value);
      EXPECT_EQ(refusal.rfind("4 m is damaged (", 0), 0u) << place << value << refusal;
      EXPECT_TRUE(refusal.ends_with("; use an older checkpoint")) << refusal;
    }
}

void save(const std::string& run, std::int64_t step, int keep) {
  const auto ranks = fixtures::ranks_of(1, 1, 3);
  fixtures::fill(ranks->parameters);
  Config config = fixtures::small_config();
  config.train.keep = keep;
  save_checkpoint(run, config, ranks->groups, ranks->parameters, fixtures::state_of(step));
}

TEST(Prune, KeepsTheNewestUpToTheStep) {
  const std::vector<std::pair<int, Names>> table{
      {0, {"step-00000050", "step-00000040"}},  // the new one always
      {1, {"step-00000050", "step-00000040"}},
      {2, {"step-00000050", "step-00000040", "step-00000030"}},
      {4, {"step-00000050", "step-00000040", "step-00000030", "step-00000020", "step-00000010"}},
      {100, {"step-00000050", "step-00000040", "step-00000030", "step-00000020", "step-00000010"}}};
  for (const auto& [keep, kept] : table) {
    const test::Folder run;
    for (const int step : {10, 20, 30, 50}) make_checkpoint(run.path(), "step-000000" + std::to_string(step), "{}");
    save(run.path(), 40, keep);
    EXPECT_EQ(names_of(list_checkpoints(run.path())), kept) << keep;
  }
}

/// A link to a checkpoint elsewhere goes; where it leads to stays as it is. So do folders that are none of ours.
TEST(Prune, RemovesNothingOfOthers) {
  const test::Folder run, other;
  make_checkpoint(other.path(), "step-00000010", "{}");
  fs::create_directories(run / "checkpoints/mine");
  fs::create_directory_symlink(other / "checkpoints/step-00000010", run / "checkpoints/step-00000010");
  fs::create_directory_symlink(other.path(), run / "checkpoints/.step-00000020.tmp");
  save(run.path(), 40, 1);
  EXPECT_EQ(names_of(list_checkpoints(run.path())), Names{"step-00000040"});
  EXPECT_EQ(names_of(strangers_of(run.path())), Names{"mine"});
  EXPECT_TRUE(fs::exists(other / "checkpoints/step-00000010/manifest.json"));
  EXPECT_TRUE(fs::exists(other / "checkpoints/step-00000010/state.json"));
}

/// What a killed job left under the name of the step is replaced as a whole.
TEST(Save, ReplacesWhatStandsAtItsName) {
  const test::Folder run;
  write(run / "checkpoints/step-00000040/left.h5", "left");
  write(run / "checkpoints/.step-00000040.tmp/dense.h5", "half");
  save(run.path(), 40, 2);
  EXPECT_FALSE(fs::exists(run / "checkpoints/step-00000040/left.h5"));
  EXPECT_FALSE(fs::exists(run / "checkpoints/.step-00000040.tmp"));
  EXPECT_EQ(checkpoint_step(run.path()), 40);
  const std::string folder = latest_checkpoint(run.path());
  std::size_t listed = 0;
  for (const ManifestEntry& entry : parse_manifest(files::read_text(folder + "/manifest.json"), "m")) {
    EXPECT_EQ(test::refusal([&] { check_file(folder, entry); }), "") << entry.name;
    ++listed;
  }
  const auto files_there = std::distance(fs::directory_iterator(folder), fs::directory_iterator());
  EXPECT_EQ(static_cast<std::ptrdiff_t>(listed + 1), files_there) << "every file but the manifest is listed";
}

TEST(Save, WhereNoFolderCanBeItSaysSo) {
  const test::Folder run;
  write(run / "checkpoints", "a file");
  const std::string refusal = test::refusal([&] { save(run.path(), 40, 2); });
  EXPECT_EQ(refusal.rfind("2 cannot ", 0), 0u) << refusal;
  EXPECT_NE(refusal.find(run / "checkpoints"), std::string::npos) << refusal;
  EXPECT_EQ(files::read_text(run / "checkpoints"), "a file");
}

}  // namespace
