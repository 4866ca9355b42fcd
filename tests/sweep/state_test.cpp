// The folder of a sweep: what damage to its sweep.json is refused, and what the files of a task say of its state.
#include "sweep/state.hpp"

#include <gtest/gtest.h>

#include <random>

#include "record/run_folder.hpp"
#include "support/child.hpp"
#include "support/refusal.hpp"
#include "sweep_folder.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::sweep;
namespace fs = std::filesystem;

class SweepState : public fixtures::SweepFolder {
 protected:
  std::string kept_text() const { return files::read_text(folder_ + "/sweep.json"); }
  TaskState look() const { return look_at(folder_, sweep_, task(0)); }
  bool is_done() const { return is_finished(folder_, sweep_, task(0)); }
};

TEST_F(SweepState, DamagedTextIsRefused) {
  const std::string text = kept_text(), first = sweep_.tasks.at(0).name, second = sweep_.tasks.at(1).name;
  EXPECT_EQ(parse_sweep(text, "x").tasks.size(), 6u);
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

TEST_F(SweepState, StatesFollowFromFiles) {
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

// Whatever byte of it changes: a message, or a sweep whose names follow from its numbers.
TEST_F(SweepState, NoByteOfItIsTakenUnread) {
  const std::string text = kept_text();
  std::mt19937 engine(3);
  for (int i = 0; i < 4000; ++i) {
    std::string damaged = text;
    damaged[engine() % text.size()] = static_cast<char>(i % 2 ? engine() : "09-.\"{}[],:eE tn"[engine() % 16]);
    try {
      const Sweep sweep = parse_sweep(damaged, "x.json");
      for (const Task& t : sweep.tasks) EXPECT_EQ(t.name, name_of(t)) << damaged;
    } catch (const Error& e) {
      EXPECT_TRUE(e.code() == Exit::corrupt || e.code() == Exit::usage) << e.what();
    }
  }
}

TEST_F(SweepState, AFolderKeepsEverythingOfATask) {
  const Sweep sweep{
      "näme",
      "model: {}\n# \"quoted\\\n",
      2147483647,
      {{"E2147483647-k3-g5-seed18446744073709551615-ärm", "ärm", 2147483647, 3, 5, ~0ull, {"a.b=\t\"", ""}},
       {"E1-k1-g1-seed0", "", 1, 1, 1, 0, {}}}};
  keep_sweep(root_ / "other", sweep);
  const Sweep back = kept_sweep(root_ / "other");
  EXPECT_EQ(std::tie(back.name, back.configuration, back.ranks),
            std::tie(sweep.name, sweep.configuration, sweep.ranks));
  ASSERT_EQ(back.tasks.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    const auto all = [](const Task& t) {
      return std::tie(t.name, t.arm, t.experts, t.top_k, t.granularity, t.seed, t.overrides);
    };
    EXPECT_EQ(all(back.tasks[i]), all(sweep.tasks[i])) << i;
  }
}

TEST_F(SweepState, AFolderThatIsAnothersIsRefused) {
  const auto refused = [&](const std::string& folder, const Sweep& sweep) {
    return test::refusal([&] { keep_sweep(folder, sweep); });
  };
  EXPECT_EQ(refused(folder_, sweep_), "");
  Sweep other = sweep_;
  other.configuration += "\n";
  const std::string kept = kept_text();
  EXPECT_EQ(refused(folder_, other),
            "2 " + folder_ + " holds another sweep (its tasks or their configuration differ); give another folder");
  EXPECT_EQ(kept_text(), kept);
  EXPECT_EQ(refused(root_.path(), sweep_),
            "2 " + root_.path() + " is not empty (it has base.yaml); give --out a new folder");
  fs::create_directories(root_ / "half/tasks");  // of a start that was killed
  EXPECT_EQ(refused(root_ / "half", sweep_), "");
  fs::create_directories(root_ / "full/tasks/run");
  EXPECT_NE(refused(root_ / "full", sweep_).find("it has tasks"), std::string::npos);
  other.name = "\xff.yaml";
  EXPECT_TRUE(refused(root_ / "bytes", other).starts_with("2 \xff.yaml: a sweep must be of UTF-8 ("));
  EXPECT_FALSE(fs::exists(root_ / "bytes"));
  fs::remove_all(folder_ + "/tasks");
  fs::create_directory_symlink(root_ / "half", folder_ + "/tasks");
  EXPECT_TRUE(test::refusal([&] { kept_sweep(folder_); }).starts_with("2 " + folder_ + "/tasks is a link"));
  EXPECT_TRUE(test::refusal([&] { kept_sweep(root_ / "none"); }).starts_with("2 " + (root_ / "none: no sweep there")));
}

TEST_F(SweepState, TheTableHasOneLineATask) {
  fs::create_directory(run_of(0));
  checkpoint(1, 7), checkpoint(2, 3), checkpoint(4, 5);
  note_failure(folder_, task(2), Error(Exit::storage, "the disk is full\n"));
  note_failure(folder_, task(1), Error(Exit::storage, "older than the end"));
  const std::string state = run_of(4) + "/checkpoints/step-00000005/state.json";
  std::ofstream(state) << "{";
  int ready[2], hold[2];
  ASSERT_EQ(::pipe(ready) + ::pipe(hold), 0);
  test::Child job([&] {
    const record::RunFolder run(run_of(5));
    char byte = 0;
    return ::write(ready[1], &byte, 1) == 1 && ::read(hold[0], &byte, 1) >= 0 ? 0 : 1;
  });
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  const std::string holder = record::RunFolder::holder(run_of(5)), found = table(folder_, sweep_);
  EXPECT_TRUE(holder.ends_with(" " + std::to_string(job.process()))) << holder;
  const TaskState damaged = look_at(folder_, sweep_, task(4));
  EXPECT_NE(damaged.reason.find(state), std::string::npos);
  EXPECT_EQ(found,
            "task  name            state     steps\n"
            "0     E1-k1-g1-seed1  stopped   0/7\n"
            "1     E4-k1-g1-seed1  finished  7/7\n"
            "2     E2-k1-g1-seed1  failed    3/7  exit code 5: the disk is full\n"
            "3     E1-k1-g1-seed2  waiting   0/7\n"
            "4     E4-k1-g1-seed2  damaged   0/7  " +
                damaged.reason +
                "\n"
                "5     E2-k1-g1-seed2  running   0/7  " +
                holder +
                "\n"
                "6 tasks: 1 finished, 1 failed, 1 damaged, 1 stopped, 1 running, 1 waiting\n");
  for (const int end : {ready[0], ready[1], hold[0], hold[1]}) ::close(end);
}

TEST_F(SweepState, FinishedAreTheStepsOfTheSweep) {
  for (const auto& [step, done] : {std::pair(6, false), std::pair(7, true), std::pair(8, true)}) {
    fs::remove_all(run_of(0));
    checkpoint(0, step);
    EXPECT_EQ(is_done(), done) << step;
    EXPECT_EQ(look().step, step);
    EXPECT_EQ(look().state, done ? State::finished : State::stopped) << step;
  }
  checkpoint(0, 5);  // a newer one that is damaged hides no older one
  std::ofstream(run_of(0) + "/checkpoints/step-00000008/state.json") << "{";
  EXPECT_FALSE(is_done());
  EXPECT_EQ(look().step, 5);
}

// Nothing is known of what cannot be looked at: for the queue that is an error, for the table a state.
TEST_F(SweepState, WhatCannotBeLookedAtIsNotWaiting) {
  fs::create_symlink(run_of(0), run_of(0));
  EXPECT_EQ(test::code_of([&] { is_done(); }), Exit::usage);
  EXPECT_EQ(look().state, State::damaged);
  EXPECT_NE(look().reason, "");
  sweep_.configuration = "moe: {";
  for (const std::size_t i : {0u, 1u}) EXPECT_EQ(look_at(folder_, sweep_, task(i)).state, State::damaged) << i;
  EXPECT_TRUE(table(folder_, sweep_).ends_with("\n6 tasks: 6 damaged\n"));
}

TEST_F(SweepState, ANoteThatCannotBeWrittenIsNoError) {
  fs::create_directories(run_of(0) + ".failed/x");
  EXPECT_NO_THROW(note_failure(folder_, task(0), Error(Exit::storage, "full")));
  EXPECT_NO_THROW(forget_failure(folder_, task(0)));
  EXPECT_TRUE(fs::exists(run_of(0) + ".failed/x"));
  EXPECT_EQ(look().state, State::damaged);
}

}  // namespace
