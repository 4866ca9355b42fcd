// What may continue and what may not: folders that hold something else, runs killed before their first checkpoint.
#include <sstream>

#include "record/schema.hpp"
#include "support/program.hpp"
#include "tensor/types.hpp"

namespace switchyard {
namespace {

class Continue : public Program {
 protected:
  int segments(const std::string& run) const {
    return static_cast<int>(
        std::distance(fs::directory_iterator(folder_ / run / "segments"), fs::directory_iterator{}));
  }
  /// Starts a run without checkpoints and kills it after a few rows.
  void kill_early(const std::string& run_folder) const {
    const std::string log = run_folder + "/segments/000/log.txt";
    const Output o = run(
        "train tiny.yaml --run " + run_folder + " train.steps=1000000 train.checkpoint_every=0 train.evaluate_every=0",
        0, "while ! grep -q 'step=10 ' " + log + " 2>/dev/null; do sleep 0.05; done; kill -KILL $job");
    ASSERT_EQ(o.code, 137) << o.err;
  }
};

TEST_F(Continue, AUsersOwnConfigurationIsNotOverwritten) {
  make_tiny();
  fs::create_directory(folder_ / "mine");
  const std::string text = "# mine\n" + read(folder_ / "tiny.yaml");
  write("mine/config.yaml", text);
  const Output o = run("train mine/config.yaml --run mine");
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(count(o.err, "mine holds a run already"), 1) << o.err;
  EXPECT_EQ(read(folder_ / "mine/config.yaml"), text);
}

// Its rows stand there already: another configuration would be joined to them.
TEST_F(Continue, ARunKilledBeforeItsFirstCheckpointGoesOnAsItself) {
  make_tiny();
  kill_early("r");
  std::string config = read(folder_ / "r/config.yaml");
  const auto at = config.find("\n  experts: 4");
  ASSERT_NE(at, std::string::npos) << config;
  write("r/config.yaml", config.substr(0, at) + "\n  experts: 8" + config.substr(at + 13));
  const Output edited = run("resume r");
  EXPECT_EQ(edited.code, 2);
  EXPECT_EQ(count(edited.err, "moe.experts: is 4 in the run and cannot become 8"), 1) << edited.err;
  write("r/config.yaml", config);
  const Output fewer = run("resume r train.steps=6");
  EXPECT_EQ(fewer.code, 2);
  EXPECT_EQ(count(fewer.err, "train.steps is 6, but rows up to step"), 1) << fewer.err;
  EXPECT_EQ(run("resume r train.max_time=0.001").code, 75);
  EXPECT_EQ(run("verify r").code, 0);
}

TEST_F(Continue, EachSegmentExplainsItselfAndAFinishedRunGetsNone) {
  make_tiny();
  ASSERT_EQ(run("train tiny.yaml --run r train.steps=3").code, 0);
  ASSERT_EQ(run("resume r train.steps=8").code, 0);
  EXPECT_EQ(segments("r"), 3);  // one of its own up to the next whole chunk
  for (const char* segment : {"000", "001", "002"})
    EXPECT_EQ(count(read(folder_ / "r/segments" / segment / "log.txt"), "commit"), 1) << segment;
  EXPECT_EQ(count(read(folder_ / "r/segments/002/log.txt"), "continues the segment before, at step 4"), 1);
  const Output again = run("resume r");
  EXPECT_EQ(again.code, 0);
  EXPECT_EQ(count(again.out, "r has its 8 steps already"), 1) << again.out;
  EXPECT_EQ(segments("r"), 3);
}

// Before any checkpoint has opened an HDF5 file, and without mpirun between.
TEST_F(Continue, AFullDiskWhileRowsAreWrittenIsToldAndLogged) {
  make_tiny();
  write("limited", "#!/bin/sh\nulimit -f 1200\ntrap '' XFSZ\nexec \"$@\"\n");
  fs::permissions(folder_ / "limited", fs::perms::owner_all);
  for (const int ranks : {0, 2}) {
    fs::remove_all(folder_ / "r");
    wrapper_ = "./limited";
    const Output o =
        run("train tiny.yaml --run r train.steps=100000 train.checkpoint_every=0 train.evaluate_every=0 "
            "record.sample_every=0 moe.experts=64 record.flush_every=10",
            ranks);
    wrapper_.clear();
    EXPECT_EQ(o.code, 5) << ranks << ": " << o.err;
    EXPECT_EQ(count(o.err, "run.h5"), 1) << o.err;
    EXPECT_EQ(count(read(folder_ / "r/segments/000/log.txt"), "error: "), 1);
  }
}

/// A digest without the sum of all, without what rows of an earlier program lack (variables since version 7), and
/// without the margin, which they have in the bins of their time.
std::string known_earlier(const std::string& digest) {
  std::string kept;
  std::istringstream lines(digest);
  for (std::string line; std::getline(lines, line);) {
    bool later = line.starts_with("total ") || line.starts_with("run/margin ");
    for (const record::Variable& v : record::variables_of(record::FileKind::run))
      later |= v.since >= 7 && line.starts_with("run/" + std::string(v.name) + " ");
    if (!later) kept += line + "\n";
  }
  return kept;
}

// tests/train/earlier_run was written by the program of c98289b (before passes, queues and tensors), killed after its
// checkpoint of step 2; /proc/self/cwd stands for the test's folder in the path of its corpus.
TEST_F(Continue, ARunOfAnEarlierProgramGoesOnToTheBitsOfThisOne) {
  std::string squares, products;
  for (int i = 0; i < 400; ++i) squares.append(i ? " " : "").append(std::to_string(i * i % 97));
  for (int i = 0; i < 300; ++i) products.append(i ? " " : "").append(std::to_string(i * 7919 % 1009));
  fs::create_directory(folder_ / "text");
  write("text/a.txt", squares), write("text/b.txt", products);
  ASSERT_EQ(run("data build --out corpus --tokenizer bytes text").code, 0);
  fs::copy(fs::path(SWITCHYARD_TEST_DIR) / "train/earlier_run", folder_ / "r", fs::copy_options::recursive);
  ASSERT_EQ(run("train r/config.yaml --run fresh").code, 0);
  const Output o = run("resume r");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(o.out, "resumed from r/checkpoints/step-00000002"), 1) << o.out;
  EXPECT_EQ(count(o.out, "memory of rank 0: 1.0 MiB of parameters"), 1) << o.out;
  const Output digest = run("verify --digest r");
  EXPECT_EQ(count(digest.out, "total "), 1) << digest.out << digest.err;
  if (on_host) {  // a GPU's products have other bits
    EXPECT_GT(count(known_earlier(digest.out), "\n"), 50);
    EXPECT_EQ(known_earlier(digest.out), known_earlier(run("verify --digest fresh").out));
  }
}

}  // namespace
}  // namespace switchyard
