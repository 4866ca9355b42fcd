// verify finds what is broken and nothing else; the digest sees the run and not how it was cut.
#include "record/verify.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "base/check.hpp"
#include "base/files.hpp"
#include "checkpoint/manifest.hpp"
#include "edit.hpp"
#include "record/digest.hpp"
#include "run_fixture.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;
using fixtures::Folder;
using fixtures::joined;
using fixtures::write_whole;
namespace fs = std::filesystem;

/// The same on three ranks, then from step 5 on on two, with other chunks.
void write_resumed(const std::string& path) {
  RunFolder folder(path);
  Config config = fixtures::small_config();
  fixtures::write_segment(folder, config, 1, 8, 3);
  config.record.flush_every = 2;
  fixtures::write_segment(folder, config, 5, 12, 2);
  fixtures::write_checkpoint(path, config, 12);
}

TEST(Verify, SoundRunsHaveNoProblems) {
  const Folder whole, resumed;
  write_whole(whole.path());
  write_resumed(resumed.path());
  EXPECT_EQ(joined(verify_path(whole.path()).problems), "");
  EXPECT_EQ(joined(verify_path(resumed.path()).problems), "");
  EXPECT_EQ(joined(verify_path(whole / "segments/000/run.h5").problems), "");
  EXPECT_EQ(joined(verify_path(whole / "checkpoints/step-00000012").problems), "");
  EXPECT_EQ(joined(verify_path(whole / "checkpoints/step-00000012/dense.h5").problems), "");
  EXPECT_THROW(verify_path(whole / "nothing"), Error);
}

TEST(Digest, DoesNotSeeHowTheRunWasCut) {
  const Folder whole, resumed;
  write_whole(whole.path());
  write_resumed(resumed.path());
  const std::string text = digest(whole.path());
  EXPECT_EQ(text, digest(resumed.path()));
  for (const char* name :
       {"run/assigned ", "run/evaluation_loss ", "evaluation/expert ", "evaluation/token_text ", "tokens/weight ",
        "checkpoint/blocks.1.moe.experts.up/second_moment ", "checkpoint/state ", "total "})
    EXPECT_NE(text.find(name), std::string::npos) << name;
  for (const char* name : {"wall_seconds", "traffic", "phase_seconds"})
    EXPECT_EQ(text.find(name), std::string::npos) << name;
}

TEST(Digest, SeesOneElementOfATensor) {
  const Folder a, b;
  for (const Folder* run : {&a, &b}) {
    RunFolder folder(run->path());
    fixtures::write_segment(folder, fixtures::small_config(), 1, 3, 1);
  }
  fixtures::write_checkpoint(a.path(), fixtures::small_config(), 3);
  fixtures::write_checkpoint(b.path(), fixtures::small_config(), 3, 1e-30f);
  EXPECT_NE(digest(a.path()), digest(b.path()));
}

void expect_problem(const std::function<void(const std::string&)>& damage, const std::string& words) {
  const Folder run;
  write_whole(run.path());
  damage(run.path());
  const std::string problems = joined(verify_path(run.path()).problems);
  EXPECT_NE(problems.find(words), std::string::npos) << "wanted: " << words << "\ngot: " << problems;
}

TEST(Verify, BrokenLawsAreNamed) {
  const auto change = [](const char* file, const char* name, hsize_t at, std::int64_t value) {
    return [=](const std::string& run) { fixtures::Editor(run + "/segments/000/" + file).set(name, at, value); };
  };
  expect_problem(change("run.h5", "assigned", 0, 1), "assigned sums to");
  expect_problem(change("run.h5", "kept", 0, 1000), "kept is not within");
  expect_problem(change("run.h5", "assigned", 4, 5), "beyond the layer's experts");
  expect_problem(change("run.h5", "traffic", 3, 5), "traffic sums to");
  expect_problem(change("run.h5", "tokens", 3, 5), "tokens are not");
  expect_problem(change("run.h5", "step", 11, 14), "does not follow");
  expect_problem(change("run.h5", "loss", 2, 7), "loss is not the sum");
  expect_problem(change("run.h5", "max_vio", 5, 1), "max_vio is not");
  expect_problem(change("run.h5", "drop_share", 5, 1), "drop_share is not");
  expect_problem(change("run.h5", "margin", 1, 7), "margin does not have");
  expect_problem(change("run.h5", "entropy", 3, 2), "entropy is not");
  expect_problem(change("run.h5", "entropy", 3, -1), "entropy is not");
  expect_problem(change("run.h5", "prob_mass", 0, -1), "prob_mass is not");
  expect_problem(change("run.h5", "timeline_step", 1, 4), "timeline 1: it is of step 4, not of 8");
  expect_problem(change("run.h5", "timeline_step", 1, 9), "timeline 1: it is of step 9, not of 8");
  expect_problem(change("run.h5", "timeline_step", 2, 16), "timeline 2: it is of step 16, not of 12");
  expect_problem(change("run.h5", "timeline_end", 3, 0), "a task does not lie within");
  expect_problem(change("run.h5", "timeline_start", 0, -1), "a task does not lie within");
  expect_problem(change("run.h5", "timeline_bytes", 0, -1), "bytes are negative");
  expect_problem(change("tokens.r0000.h5", "expert", 0, 2), "other counts");
  expect_problem(change("tokens.r0000.h5", "position", 3, 0), "is not after");
}

/// Flips a bit of the last byte that is not zero: of data, since only unused space has no sum.
void flip_a_bit(const std::string& path) {
  std::string bytes = files::read_text(path);
  bytes[bytes.find_last_not_of('\0')] ^= 16;
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST(Verify, DamageIsNamed) {
  expect_problem([](const std::string& run) { flip_a_bit(run + "/segments/000/tokens.r0000.h5"); }, "tokens.r0000.h5");
  expect_problem([](const std::string& run) { flip_a_bit(run + "/checkpoints/step-00000012/dense.h5"); },
                 "dense.h5 is damaged");
  expect_problem([](const std::string& run) { fs::remove(run + "/checkpoints/step-00000012/state.json"); },
                 "state.json is missing");
  expect_problem(
      [](const std::string& run) {
        const std::string state = run + "/checkpoints/step-00000012/state.json";
        fs::rename(state, run + "/state.json");
        fs::create_symlink(run + "/state.json", state);
      },
      "state.json is no regular file; use an older checkpoint");
  expect_problem([](const std::string& run) { fs::resize_file(run + "/segments/000/run.h5", 3000); }, "run.h5");
}

TEST(Verify, MissingRowsAreNamed) {
  const Folder run;
  RunFolder folder(run.path());
  const Config config = fixtures::small_config();
  fixtures::write_segment(folder, config, 1, 4, 1);
  fixtures::write_segment(folder, config, 7, 9, 1);
  EXPECT_NE(joined(verify_path(run.path()).problems).find("rows of steps 5 to 6 are missing"), std::string::npos);
}

TEST(Verify, AnIncompleteSampleIsNamed) {
  const Folder run;
  write_resumed(run.path());
  fs::remove(run / "segments/000/tokens.r0001.h5");
  EXPECT_NE(joined(verify_path(run.path()).problems).find("tokens are sampled, not all"), std::string::npos);
}

TEST(Verify, AMissingConfigurationIsNamedWithItsCopy) {
  expect_problem([](const std::string& run) { fs::remove(run + "/config.yaml"); },
                 "config.yaml is missing; put back its text, of which the attribute config of ");
}

// A version of another type is damage, after which an older checkpoint is taken; a later one is a program's of its own.
TEST(Verify, AManifestsVersionIsANumber) {
  for (const auto& [version, code] :
       {std::pair("\"3\"", Exit::corrupt), std::pair("null", Exit::corrupt), std::pair("2.5", Exit::corrupt),
        std::pair("[3]", Exit::corrupt), std::pair("99", Exit::usage)})
    try {
      checkpoint::parse_manifest("{\"schema_version\": " + std::string(version) + ", \"files\": []}", "manifest.json");
      ADD_FAILURE() << version << " was taken";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << version << ": " << e.what();
    }
}

// Where checkpoints lie elsewhere, a run seems to have none.
TEST(Verify, WhatIsNoCheckpointIsNamed) {
  const Folder run, other;
  write_whole(run.path());
  fixtures::write_checkpoint(other.path(), fixtures::small_config(), 12);
  const std::string place = run / "checkpoints";
  for (const auto& [target, problem, note] :
       {std::tuple(checkpoint::latest_checkpoint(other.path()), "", "/dense.h5 is no checkpoint by its name"),
        {other / "absent", " is no folder; move it away", ""}}) {
    fs::remove_all(place);
    fs::create_directory_symlink(target, place);
    const Findings found = verify_path(run.path());
    EXPECT_EQ(joined(found.problems).find(*problem ? place + problem : ""), 0u) << joined(found.problems);
    EXPECT_EQ(found.problems.empty(), !*problem);
    EXPECT_NE(joined(found.notes).find(*note ? place + note : ""), std::string::npos) << joined(found.notes);
  }
}

// What a resume may change is the user's to edit, and said.
TEST(Verify, AnEditedConfigurationIsANote) {
  const Folder run;
  write_whole(run.path());
  EXPECT_EQ(verify_path(run.path()).notes, std::vector<std::string>{});
  Config config = fixtures::small_config();
  config.record.flush_every += 1;
  files::write_text(run / "config.yaml", dump(config, {}) + config_end);
  const Findings found = verify_path(run.path());
  EXPECT_EQ(joined(found.problems), "");
  ASSERT_EQ(found.notes.size(), 1u);
  EXPECT_NE(found.notes[0].find("record.flush_every is "), std::string::npos) << found.notes[0];
}

TEST(Verify, AMissingSampleIsNamed) {
  expect_problem([](const std::string& run) { fs::remove(run + "/segments/000/tokens.r0000.h5"); },
                 "step 12: 0 tokens are sampled, not all 32");
}

/// Ten steps on two ranks, of the last of which one rank's sample is lost.
void write_cut(const std::string& path) {
  RunFolder folder(path);
  const Config config = fixtures::small_config();
  fixtures::write_segment(folder, config, 1, 10, 2);
  const std::string file = path + "/segments/000/tokens.r0001.h5";
  fs::remove(file);
  TokenFile samples(file, config, config.step_tokens() / 2);
  for (int step = 2; step < 10; step += 2)
    samples.append(step, fixtures::batch_of(config, step, {2, 4}),
                   fixtures::routing_of(config, fixtures::row_of(config, step, 2), {2, 4}));
  samples.close();
}

TEST(Verify, OnlyAKilledRunMayMissItsLastSample) {
  const Folder killed, ended, resumed, redone;
  for (const Folder* run : {&killed, &ended, &resumed, &redone}) write_cut(run->path());
  EXPECT_EQ(joined(verify_path(killed.path()).problems), "");
  const std::string missing = "step 10: 16 tokens are sampled, not all 32";
  fixtures::write_checkpoint(ended.path(), fixtures::small_config(), 10);
  EXPECT_NE(joined(verify_path(ended.path()).problems).find(missing), std::string::npos);
  RunFolder after(resumed.path()), again(redone.path());
  fixtures::write_segment(after, fixtures::small_config(), 11, 12, 1);
  EXPECT_NE(joined(verify_path(resumed.path()).problems).find(missing), std::string::npos);
  fixtures::write_segment(again, fixtures::small_config(), 7, 12, 1);
  EXPECT_EQ(joined(verify_path(redone.path()).problems), "");
}

}  // namespace
