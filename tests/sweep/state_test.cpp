// The folder of a sweep: what damage to its sweep.json is refused, and what the files of a task say of its state.
#include "sweep/state.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/check.hpp"
#include "support/folder.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::sweep;
namespace fs = std::filesystem;

class SweepFolder : public testing::Test {
 protected:
  SweepFolder() {
    put("base.yaml",
        "model: {vocabulary: 40}\nmoe: {experts: 4, top_k: 1, hidden: 64}\ntrain: {steps: 7, warmup: 0}\n");
    put("s.yaml", "configuration: base.yaml\nexperts: [1, 2]\nseeds: [1]\n");
    sweep_ = read_sweep(root_ / "s.yaml", {});
    keep_sweep(folder_, sweep_);
  }
  void put(const std::string& name, const std::string& text) const { std::ofstream(root_ / name) << text; }
  std::string kept_text() const {
    std::ifstream in(folder_ + "/sweep.json");
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  TaskState look() const { return look_at(folder_, sweep_, sweep_.tasks.at(0)); }

  const test::Folder root_;
  const std::string folder_ = root_ / "kept";
  Sweep sweep_;
};

TEST_F(SweepFolder, DamagedTextIsRefused) {
  const std::string text = kept_text(), first = sweep_.tasks.at(0).name, second = sweep_.tasks.at(1).name;
  EXPECT_EQ(parse_sweep(text, "x").tasks.size(), 2u);
  const struct {
    const char *name, *from;
    std::string to, says;
  } rows[] = {
      {"schema", "switchyard-sweep", "other", "another kind or version"},
      {"version", "\"schema_version\": 1", "\"schema_version\": 2", "another kind or version"},
      {"no ranks", "\"ranks\": 1", "\"ranks\": 0", "ranks"},
      {"too many ranks", "\"ranks\": 1", "\"ranks\": 2147483648", "ranks"},
      {"ranks of another type", "\"ranks\": 1", "\"ranks\": \"1\"", "ranks"},
      {"negative experts", "\"experts\": 1", "\"experts\": -1", "experts"},
      {"a name out of the folder", first.c_str(), "../x", "whose numbers give another name"},
      {"the name of another task", first.c_str(), second, "whose numbers give another name"},
      {"tasks of another key", "\"tasks\"", "\"task\"", "tasks"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    std::string damaged = text;
    const std::size_t at = damaged.find(row.from);
    ASSERT_NE(at, std::string::npos);
    damaged.replace(at, std::string(row.from).size(), row.to);
    try {
      parse_sweep(damaged, "x.json");
      ADD_FAILURE() << "taken";
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()).rfind("x.json", 0), 0u) << e.what();
      EXPECT_NE(std::string(e.what()).find(row.says), std::string::npos) << e.what();
    }
  }
  for (std::size_t size = 0; size + 1 < text.size(); ++size)  // the last byte is the end of the line
    EXPECT_THROW(parse_sweep(text.substr(0, size), "x.json"), Error) << size;
}

TEST_F(SweepFolder, StatesFollowFromFiles) {
  const std::string run = run_folder(folder_, sweep_.tasks.at(0));
  EXPECT_EQ(look().state, State::waiting);
  EXPECT_EQ(look().steps, 7);
  note_failure(folder_, sweep_.tasks[0], Error(Exit::busy, "another's"));
  EXPECT_EQ(look().state, State::waiting);
  note_failure(folder_, sweep_.tasks[0], Error(Exit::non_finite, "two\nlines"));
  EXPECT_EQ(look().state, State::failed);
  EXPECT_EQ(look().reason, "exit code 3: two lines");
  EXPECT_EQ(look_at(folder_, sweep_, sweep_.tasks[1]).state, State::waiting);
  forget_failure(folder_, sweep_.tasks[0]);
  EXPECT_EQ(look().state, State::waiting);
  fs::create_directory(run);
  EXPECT_EQ(look().state, State::stopped);
  EXPECT_FALSE(is_finished(folder_, sweep_, sweep_.tasks[0]));
  fs::remove(run);
  std::ofstream(run) << "a file";
  note_failure(folder_, sweep_.tasks[0], Error(Exit::usage, "older"));
  EXPECT_EQ(look().state, State::damaged);
  EXPECT_EQ(look().reason, run + " is no folder; move it away");
}

}  // namespace
