// links: train
// The program as users meet it: commands, messages once and whole, exit codes, nothing touched by a wrong call, and a
// tiny run from text to resume. Uses the binary that stands beside the tests' folder.
// GCC 12 sees overflows in std::string += that are not there.
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wrestrict"
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <Kokkos_Core.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "config/estimate.hpp"
#include "config/yaml.hpp"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

struct Output {
  int code = -1;
  std::string out, err;
  double largest_mib = 0.0;  ///< of a process of the command
};

std::string read(const fs::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// A folder of its own for each test, and commands run inside it without this process's MPI environment.
class Program : public testing::Test {
 protected:
  void SetUp() override {
    binary_ = fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "switchyard";
    if (!fs::exists(binary_)) GTEST_FAIL() << binary_ << " is not there; build the target switchyard first";
    folder_ = fs::temp_directory_path() / ("switchyard_cli_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// `meanwhile`: shell commands beside it, in which $job is its process.
  Output run(const std::string& arguments, int ranks = 0, const std::string& meanwhile = "") const {
    std::string command = "cd '" + folder_.string() + "' && " + (meanwhile.empty() ? "exec " : "{ ") +
                          "env -i PATH=\"$PATH\" HOME=/tmp LSAN_OPTIONS=leak_check_at_exit=0 OMP_NUM_THREADS=1 "
                          "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1 "
                          "OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_rmaps_base_oversubscribe=1 "
                          "OMPI_MCA_plm_rsh_agent=false ";  // no other host is reached, so no ssh is needed
    if (ranks > 0) command.append("mpirun --oversubscribe -n ").append(std::to_string(ranks)).append(" ");
    command += wrapper_ + " '" + binary_.string() + "' " + arguments + " >out 2>err </dev/null";
    if (!meanwhile.empty()) command += " & job=$!; " + meanwhile + "; wait $job; }";
    const pid_t child = fork();
    if (child == 0) {
      execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      _exit(127);
    }
    int status = 0;
    rusage usage{};
    wait4(child, &status, 0, &usage);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read(folder_ / "out"), read(folder_ / "err"),
            double(usage.ru_maxrss) / 1024.0};
  }

  void write(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name) << text; }

  /// A corpus of bytes and a configuration for it.
  void make_tiny() const {
    std::string text;
    for (int i = 0; i < 2000; ++i) text += "line " + std::to_string(i * 7919 % 2000) + " of a small text.\n";
    write("a.txt", text), write("b.txt", text), write("c.txt", text);
    const Output built = run("data build a.txt b.txt c.txt --out corpus --tokenizer bytes --validation-share 0.3");
    ASSERT_EQ(built.code, 0) << built.err;
    write(
        "tiny.yaml",
        "model: {width: 16, blocks: 2, heads: 2, context: 16, hidden: 32}\n"
        "moe: {experts: 4, top_k: 2, hidden: 16, normalise: before, aux_loss: 0.01}\n"
        "train: {steps: 4, batch: 4, grains: 4, warmup: 1, evaluate_every: 2, evaluate_tokens: 128, checkpoint_every: "
        "2}\n"
        "record: {flush_every: 2, sample_every: 2}\n");
  }

  fs::path binary_, folder_;
  std::string wrapper_;  ///< a program that starts the program
};

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

TEST_F(Program, WrongCallsExitWithTwoAndSayWhy) {
  for (const auto& [arguments, message] :
       {std::pair("", "subcommand is required"), std::pair("trian x", "unknown command trian (did you mean train?)"),
        std::pair("train", "config is required"), std::pair("check c.yaml --rnks 2", "--rnks"),
        std::pair("check c.yaml --ranks 0", "--ranks"), std::pair("data", "subcommand is required"),
        std::pair("train missing.yaml", "missing.yaml: cannot be read (No such file or directory)"),
        std::pair("resume missing", "missing: no run there (no such folder); give the folder of a run"),
        std::pair("generate missing --prompt x", "missing: no run there (no such folder)"),
        std::pair("verify missing", "missing is neither a run folder, nor a checkpoint, nor a file"),
        std::pair("verify missing --digest", "missing is no run folder"), std::pair("data build", "inputs is required"),
        std::pair("data build a.txt", "--out is required"),
        std::pair("data build missing.txt --out c", "missing.txt: byte 0: no such file or folder"),
        std::pair("data check missing", "missing: no such file or folder; give a corpus folder or a shard")}) {
    const Output o = run(arguments);
    EXPECT_EQ(o.code, 2) << arguments;
    EXPECT_EQ(count(o.err, message), 1) << arguments << ": " << o.err;
    EXPECT_EQ(o.out, "") << arguments;
  }
}

// A folder, a text and a damaged shard where something else was meant: one message, the documented code, on 1 and 2
// ranks, and nothing is written.
TEST_F(Program, WhatIsNotARunIsSaidOnce) {
  fs::create_directory(folder_ / "empty");
  write("note.txt", "not a record\n");
  const std::string no_run = "empty: no run there (it has no config.yaml); give the folder of a run";
  for (const auto& [arguments, code, message] :
       {std::tuple("resume empty", 2, no_run), std::tuple("generate empty --prompt x", 2, no_run),
        std::tuple("verify empty", 2, std::string("empty is neither a run folder, nor a checkpoint, nor a file")),
        std::tuple("verify note.txt", 4, std::string("note.txt")),
        std::tuple("data check empty", 2, std::string("empty: no corpus there")),
        std::tuple("data check note.txt", 4, std::string("note.txt: has 13 bytes, but 1024 were expected"))})
    for (const int ranks : {0, 2}) {
      const Output o = run(arguments, ranks);
      EXPECT_EQ(o.code, code) << arguments << " on " << ranks << ": " << o.err;
      EXPECT_EQ(count(o.err, message), 1) << arguments << " on " << ranks << ": " << o.err;
      EXPECT_EQ(o.out, "") << arguments;
    }
  EXPECT_TRUE(fs::is_empty(folder_ / "empty"));
  EXPECT_FALSE(fs::exists(folder_ / "runs"));
}

TEST_F(Program, ADamagedShardIsNamedOnce) {
  make_tiny();
  EXPECT_EQ(run("data check corpus").code, 0);
  std::string shard;
  for (const auto& file : fs::directory_iterator(folder_ / "corpus"))
    if (const std::string name = file.path().filename();
        name.starts_with("train") && name.find("documents") == name.npos)
      shard = name;
  std::string bytes = read(folder_ / "corpus" / shard);
  bytes.at(100) ^= 1;
  write("corpus/" + shard, bytes);
  const Output o = run("data check corpus");
  EXPECT_EQ(o.code, 4);
  EXPECT_EQ(o.err.find("switchyard: corpus/" + shard + ": sha256 "), 0u) << o.err;
  EXPECT_EQ(count(o.err, "\n"), 1) << o.err;
}

TEST_F(Program, PrintsWhatItIs) {
  const Output version = run("--version"), help = run("--help"), schema = run("schema"),
               reference = run("show --reference");
  for (const Output* o : {&version, &help, &schema, &reference}) EXPECT_EQ(o->code, 0);
  EXPECT_NE(version.out.find("commit"), std::string::npos);
  for (const char* command : {"train", "resume", "check", "show", "verify", "data", "bench", "generate", "schema"})
    EXPECT_NE(help.out.find(command), std::string::npos) << command;
  EXPECT_NE(schema.out.find("assigned"), std::string::npos);
  EXPECT_EQ(reference.out, config_markdown());
}

TEST_F(Program, BadConfigurationIsSaidOnceBeforeAnythingIsTouched) {
  write("c.yaml", "moe:\n  n_expert: 8\ntrain:\n  grains: 5\n");
  for (const std::string command :
       {"check c.yaml moe.top_k=x", "train c.yaml moe.top_k=x", "bench step c.yaml moe.top_k=x"})
    for (const int ranks : {0, 2}) {
      const Output o = run(command, ranks);
      EXPECT_EQ(o.code, 2) << command;
      EXPECT_EQ(o.err.find("c.yaml:2:3: moe.n_expert: unknown key (did you mean moe.experts?)\n"
                           "c.yaml:4:11: train.grains: 5 does not divide train.batch 16"),
                0u)
          << o.err;
      EXPECT_EQ(count(o.err, "n_expert"), 1) << ranks;
      EXPECT_EQ(count(o.err, "command line: moe.top_k: \"x\" is not an integer"), 1) << ranks;
    }
  EXPECT_FALSE(fs::exists(folder_ / "runs"));
}

TEST_F(Program, ShownConfigurationIsTheSameConfiguration) {
  write("c.yaml", "moe: {experts: 64}\n");
  const Output shown = run("show c.yaml train.learning_rate=3e-4");
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_NE(shown.out.find("(c.yaml:1)"), std::string::npos);
  EXPECT_NE(shown.out.find("(command line)"), std::string::npos);
  const LoadResult back = load_text("shown", shown.out);
  EXPECT_TRUE(back.errors.empty());
  EXPECT_EQ(back.config.moe.experts, 64);
  EXPECT_EQ(back.config.train.learning_rate, 3e-4);
}

TEST_F(Program, CheckKnowsTheRanksAndTheCorpus) {
  write("c.yaml", "layout: {expert_parallel: 3}\n");
  Output o = run("check c.yaml model.vocabulary=64 --ranks 4");
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(o.err.find("c.yaml:1:27: layout.expert_parallel: 3 does not divide the 4 ranks"), 0u) << o.err;
  o = run("check c.yaml model.vocabulary=64 --ranks 6");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_NE(o.out.find("c.yaml: good for 6 ranks"), std::string::npos) << o.out;
  EXPECT_NE(o.out.find("note: the corpus was not checked"), std::string::npos) << o.out;
  EXPECT_EQ(run("check c.yaml --ranks 6").code, 2) << "the vocabulary is the corpus's, and that is missing";
  make_tiny();
  EXPECT_EQ(run("check tiny.yaml").code, 0);
  o = run("check tiny.yaml model.vocabulary=100");
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(count(o.err, "model.vocabulary 100 is less than the corpus's"), 1) << o.err;
  EXPECT_EQ(run("check tiny.yaml model.vocabulary=512 train.batch=40000 train.evaluate_every=0").code, 2)
      << "too few tokens";
}

TEST_F(Program, TrainsStopsAndResumes) {
  make_tiny();
  Output o = run("train tiny.yaml --run r", 2);
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(run("verify r").code, 0);
  o = run("train tiny.yaml --run r", 2);
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(count(o.err, "holds a run already"), 1) << o.err;
  o = run("resume r train.steps=6 moe.top_k=1 train.batch=8");
  EXPECT_EQ(o.code, 2);
  EXPECT_NE(o.err.find("command line: moe.top_k: is 2 in the run and cannot become 1"), std::string::npos) << o.err;
  EXPECT_NE(o.err.find("command line: train.batch: is 4 in the run and cannot become 8"), std::string::npos) << o.err;
  EXPECT_EQ(run("resume r train.steps=6 layout.threads=2").code, 0);
  EXPECT_EQ(run("verify r").code, 0);
  o = run("generate r --prompt 'line ' --tokens 3 --temperature 0");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.out.find("line "), 0u);
  const std::string log = read(folder_ / "r/segments/000/log.txt");
  for (const char* part : {"switchyard 0", " commit=", "ranks=2 threads=1", "command: ", "starting from step 0"})
    EXPECT_EQ(count(log, part), 1) << part << " in\n" << log;
}

// Resumed = uninterrupted, on other layouts too, also where a start falls between two chunks of rows.
TEST_F(Program, AResumedRunHasTheBytesOfAnUninterruptedOne) {
  make_tiny();
  const std::string eight = " train.schedule=constant train.steps=8";
  ASSERT_EQ(run("train tiny.yaml --run whole" + eight, 1).code, 0);
  ASSERT_EQ(run("train tiny.yaml --run other layout.expert_parallel=2 layout.exchange=alltoallv" + eight, 4).code, 0);
  Output o = run("train tiny.yaml --run cut train.schedule=constant train.steps=3 layout.expert_parallel=2", 2);
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(run("generate cut --prompt 'line ' --tokens 1").code, 0) << "on one rank, whatever it was trained on";
  o = run("resume cut train.steps=5 layout.expert_parallel=1", 3);
  ASSERT_EQ(o.code, 0) << o.err;
  o = run("resume cut train.steps=1000000 train.max_time=0.001", 1);
  ASSERT_EQ(o.code, 75) << o.err;
  o = run("resume cut train.max_time=0 train.steps=8 layout.threads=2", 2);
  ASSERT_EQ(o.code, 0) << o.err;
  for (const char* name : {"whole", "other", "cut"}) EXPECT_EQ(run(std::string("verify ") + name).code, 0) << name;
  const std::string whole = run("verify whole --digest").out;
  EXPECT_NE(whole.find("checkpoint/state"), std::string::npos) << whole;
  EXPECT_EQ(run("verify other --digest").out, whole);
  EXPECT_EQ(run("verify cut --digest").out, whole);
}

TEST_F(Program, AnEditedConfigurationIsNotResumed) {
  make_tiny();
  ASSERT_EQ(run("train tiny.yaml --run r", 2).code, 0);
  std::string config = read(folder_ / "r/config.yaml");
  config.replace(config.find("top_k: 2"), 8, "top_k: 1");
  write("r/config.yaml", config);
  for (const int ranks : {1, 2}) {
    const Output o = run("resume r train.steps=6", ranks);
    EXPECT_EQ(o.code, 2);
    EXPECT_EQ(count(o.err, "r/config.yaml: moe.top_k: is 2 in the run and cannot become 1"), 1) << o.err;
  }
  EXPECT_EQ(read(folder_ / "r/config.yaml"), config) << "a refused resume touches nothing";
  EXPECT_FALSE(fs::exists(folder_ / "r/segments/001"));
}

// mpirun hands SIGUSR1 on; a batch system may also signal single ranks.
TEST_F(Program, ASignalStopsAllRanksAfterACheckpoint) {
  make_tiny();
  for (const auto& [send, ranks] :
       {std::pair("kill -USR1 $job", 2), std::pair("kill -TERM $(pgrep -P $job | head -n 1)", 2),
        std::pair("kill -INT $job", 0)}) {
    fs::remove_all(folder_ / "r");
    const std::string wait = "while ! grep -q 'step=10 ' r/segments/000/log.txt 2>/dev/null; do sleep 0.1; done; ";
    const Output o = run("train tiny.yaml --run r train.steps=1000000 train.evaluate_every=0", ranks, wait + send);
    EXPECT_EQ(o.code, 75) << send << ": " << o.err;
    EXPECT_EQ(count(read(folder_ / "r/segments/000/log.txt"), "stopping after step "), 1) << send;
    EXPECT_EQ(run("verify r").code, 0) << send;
    EXPECT_EQ(run("resume r train.steps=1000000 train.max_time=0.001").code, 75) << send;
  }
}

// The limit on the size of a file stands for the full disk: the message is the system's, the way through the program
// the same.
TEST_F(Program, AFullDiskEndsTheRunWithTheLastCheckpointIntact) {
  make_tiny();
  const std::string wide = " model.width=512 train.schedule=constant";
  // 512-byte blocks: 16 MiB are less than a checkpoint, more than the rows and what MPI shares between ranks.
  write("limited", "#!/bin/sh\nulimit -f 32768\ntrap '' XFSZ\nexec \"$@\"\n");
  fs::permissions(folder_ / "limited", fs::perms::owner_all);
  ASSERT_EQ(run("train tiny.yaml --run whole train.steps=6" + wide, 1).code, 0);
  for (const int ranks : {0, 2}) {
    fs::remove_all(folder_ / "r");
    ASSERT_EQ(run("train tiny.yaml --run r train.steps=2" + wide, ranks).code, 0);
    wrapper_ = "./limited";
    const Output o = run("resume r train.steps=6", ranks);
    wrapper_.clear();
    EXPECT_EQ(o.code, 5) << o.err;
    EXPECT_EQ(count(o.err, "dense.h5"), 1) << o.err;
    EXPECT_EQ(count(read(folder_ / "r/segments/001/log.txt"), "error: "), 1);
    EXPECT_EQ(run("verify r").code, 0);
    EXPECT_EQ(run("resume r train.steps=6", 3).code, 0);
    EXPECT_EQ(run("verify r --digest").out, run("verify whole --digest").out);
  }
}

TEST_F(Program, WhatIsNotFiniteStopsTheRunWithARecord) {
  make_tiny();
  const Output o = run("train tiny.yaml --run n train.learning_rate=1e30 train.clip=0", 2);
  EXPECT_EQ(o.code, 3);
  EXPECT_EQ(count(o.err, "is not finite (first in "), 1) << o.err;
  const std::string log = read(folder_ / "n/segments/000/log.txt"),
                    found = read(folder_ / "n/segments/000/non_finite.json");
  EXPECT_EQ(count(log, "is not finite (first in "), 1) << log;
  EXPECT_NE(found.find("\"schema\": \"switchyard-non-finite\""), std::string::npos) << found;
  EXPECT_NE(found.find("\"step\": 2,"), std::string::npos) << found;
  EXPECT_NE(found.find("\"block\": "), std::string::npos) << found;
  EXPECT_EQ(run("verify n").code, 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(KOKKOS_ENABLE_CUDA)
TEST_F(Program, PeakMemoryIsWhatCheckSays) {
  make_tiny();
  write("xs.yaml",
        "model: {vocabulary: 4096}\nmoe: {every: 2, router: hash}\n"
        "train: {steps: 2, warmup: 1, evaluate_every: 0, checkpoint_every: 0}\nrecord: {sample_every: 0}\n");
  for (const auto& [ranks, experts] : {std::pair(1, 8), std::pair(2, 8), std::pair(2, 128)}) {
    const std::string change = " moe.experts=" + std::to_string(experts);
    const Output o =
        run("train xs.yaml --run m" + std::to_string(ranks) + "-" + std::to_string(experts) + change, ranks);
    ASSERT_EQ(o.code, 0) << o.err;
    LoadResult loaded = load((folder_ / "xs.yaml").string(), {"moe.experts=" + std::to_string(experts)});
    const double predicted = double(rank_bytes(loaded.config, ranks).front().total()) / (1 << 20);
    EXPECT_NEAR(o.largest_mib, predicted, 0.1 * o.largest_mib) << ranks << " ranks, " << experts << " experts";
    std::printf("peak resident MiB of a rank: %.1f, predicted %.1f (%d ranks, E = %d)\n", o.largest_mib, predicted,
                ranks, experts);
  }
}
#endif

}  // namespace
}  // namespace switchyard
