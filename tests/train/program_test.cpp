// Whole runs of the program: from text to a model, stopped, resumed elsewhere, out of disk, within its memory.
#include "support/program.hpp"

#include <Kokkos_Core.hpp>
#include <iterator>
#include <sstream>

#include "config/placement_file.hpp"
#include "config/yaml.hpp"
#include "train/memory.hpp"

namespace switchyard {
namespace {

TEST_F(Program, TrainsStopsAndResumes) {
  make_tiny();
  Output o = run("train tiny.yaml --run r", 2);
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(run("verify r").code, 0);
  o = run("train tiny.yaml --run r", 2);
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(count(o.err, "holds a run already"), 1) << o.err;
  o = run("resume r train.steps=6 moe.top_k=1 train.batch=8 moe.n=2 layout.expert_parallel=3");
  EXPECT_EQ(o.code, 2);
  for (const char* also : {"moe.n: unknown key", "layout.expert_parallel: "}) EXPECT_EQ(count(o.err, also), 1) << o.err;
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

// Resumed = uninterrupted, on other layouts too, also where a start falls between two chunks of rows; and with shards
// that others wrote whole, or that are of other ranks.
TEST_F(Program, AResumedRunHasTheBytesOfAnUninterruptedOne) {
  make_tiny();
  const std::string always = " train.schedule=constant moe.aux_scope=grain", eight = always + " train.steps=8";
  ASSERT_EQ(run("train tiny.yaml --run whole" + eight, 1).code, 0);
  ASSERT_EQ(
      run("train tiny.yaml --run other layout.expert_parallel=2 layout.exchange=alltoallv layout.zero=1" + eight, 4)
          .code,
      0);
  Output o = run("train tiny.yaml --run cut train.steps=3 layout.expert_parallel=2" + always, 2);
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(run("generate cut --prompt 'line ' --tokens 1").code, 0) << "on one rank, whatever it was trained on";
  o = run("resume cut train.steps=4 layout.expert_parallel=1 layout.zero=1", 3);
  ASSERT_EQ(o.code, 0) << o.err;
  o = run("resume cut train.steps=5 layout.expert_parallel=2 layout.lanes=4 layout.waves=2", 4);
  ASSERT_EQ(o.code, 0) << o.err;
  o = run("resume cut layout.expert_parallel=0 train.steps=1000000 train.max_time=0.001", 1);
  ASSERT_EQ(o.code, 75) << o.err;
  o = run("resume cut train.max_time=0 train.steps=8 layout.waves=1 layout.threads=2 layout.zero=0", 2);
  ASSERT_EQ(o.code, 0) << o.err;
  for (const char* name : {"whole", "other", "cut"}) EXPECT_EQ(run(std::string("verify ") + name).code, 0) << name;
  const std::string whole = run("verify whole --digest").out;
  EXPECT_NE(whole.find("checkpoint/state"), std::string::npos) << whole;
  EXPECT_EQ(run("verify other --digest").out, whole);
  EXPECT_EQ(run("verify cut --digest").out, whole);
}

// With determinism `run` threads may differ, not the ranks: these it allows, and the bits change.
TEST_F(Program, OfDeterminismRunGivesTheSameBytesOnTheSameRanks) {
  make_tiny();
  const std::string of_run = " train.determinism=run train.schedule=constant layout.expert_parallel=";
  for (const auto& [ranks, ep] : {std::pair(1, "1"), std::pair(2, "2"), std::pair(3, "1")}) {
    for (const char* name : {"whole", "threads", "cut", "moved"}) fs::remove_all(folder_ / name);
    ASSERT_EQ(run("train tiny.yaml --run whole train.steps=8" + of_run + ep, ranks).code, 0);
    ASSERT_EQ(run("train tiny.yaml --run threads layout.threads=2 train.steps=8" + of_run + ep, ranks).code, 0);
    for (const char* name : {"cut", "moved"})
      ASSERT_EQ(run(std::string("train tiny.yaml --run ") + name + " train.steps=3" + of_run + ep, ranks).code, 0);
    ASSERT_EQ(run("resume cut train.steps=8", ranks).code, 0);
    ASSERT_EQ(run("resume moved train.steps=8 layout.expert_parallel=1", ranks == 3 ? 2 : 3).code, 0);
    const std::string whole = run("verify whole --digest").out;
    EXPECT_NE(whole.find("checkpoint/state"), std::string::npos) << whole;
    EXPECT_EQ(run("verify threads --digest").out, whole);
    EXPECT_EQ(run("verify cut --digest").out, whole);
    EXPECT_NE(run("verify moved --digest").out, whole);
    for (const char* name : {"whole", "cut", "moved"}) EXPECT_EQ(run(std::string("verify ") + name).code, 0) << name;
  }
  const Output o = run("resume cut train.steps=9 train.determinism=layout", 3);
  EXPECT_EQ(o.code, 2);
  EXPECT_EQ(count(o.err, "train.determinism: is run in the run and cannot become layout"), 1) << o.err;
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

// mpirun hands SIGUSR2 on (SIGUSR1 is lost in Ubuntu 24.04's); a batch system may also signal single ranks.
TEST_F(Program, ASignalStopsAllRanksAfterACheckpoint) {
  make_tiny();
  for (const auto& [send, ranks] : {std::pair("kill -USR2 $job", 2), std::pair("kill -TERM $(cut -d' ' -f2 r/lock)", 2),
                                    std::pair("kill -INT $job", 0)}) {
    fs::remove_all(folder_ / "r");
    // No step, or no stop, within a minute: kill and tell, instead of waiting for ever.
    const std::string wait =
        "n=0; while ! grep -q 'step=10 ' r/segments/000/log.txt && [ $n -lt 600 ]; do sleep 0.1; n=$((n + 1)); done "
        "2>/dev/null; ";
    const std::string watch =
        "; n=0; while kill -0 $job && [ $n -lt 600 ]; do sleep 0.1; n=$((n + 1)); done 2>/dev/null; "
        "[ $n -lt 600 ] || { grep Sig /proc/$job/status; kill -KILL $job; } >&2";
    const Output o = run("train tiny.yaml --run r train.steps=1000000 train.evaluate_every=0", ranks,
                         wait + send + " || kill -KILL $job" + watch);
    EXPECT_EQ(o.code, 75) << send << ": " << o.err << read(folder_ / "r/segments/000/log.txt");
    EXPECT_EQ(count(read(folder_ / "r/segments/000/log.txt"), "stopping after step "), 1) << send;
    EXPECT_EQ(run("verify r").code, 0) << send;
    EXPECT_EQ(run("resume r train.steps=1000000 train.max_time=0.001").code, 75) << send;
  }
}

// A batch system's warning may come before training has begun: it waits until there is something to stop.
// The second thread is one of MPI's, long before the first step.
TEST_F(Program, AWarningBeforeTheFirstStepStopsAfterIt) {
  make_tiny();
  const std::string early = "while [ \"$(ls /proc/$job/task | wc -l)\" -lt 2 ]; do :; done; kill -USR1 $job";
  const Output o = run("train tiny.yaml --run r train.steps=1000000", 0, early);
  EXPECT_EQ(o.code, 75) << o.err;
  EXPECT_EQ(count(read(folder_ / "r/segments/000/log.txt"), "stopping after step "), 1) << o.err;
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

TEST_F(Program, ADamagedShardEndsAllRanksWithTheLastCheckpointIntact) {
  make_tiny();
  const std::string shard = read(folder_ / "corpus/train-00000.bin");
  for (const int ranks : {0, 2}) {
    fs::remove_all(folder_ / "r");
    ASSERT_EQ(run("train tiny.yaml --run r train.steps=2 train.schedule=constant", ranks).code, 0);
    write("corpus/train-00000.bin", std::string(shard.size(), '\xff'));
    const Output o = run("resume r train.steps=6", ranks);
    EXPECT_EQ(o.code, 4) << o.err;
    EXPECT_EQ(count(o.err, "train-00000.bin"), 1) << o.err;
    EXPECT_EQ(count(read(folder_ / "r/segments/001/log.txt"), "error: "), 1);
    write("corpus/train-00000.bin", shard);
    EXPECT_EQ(run("verify r").code, 0);
    EXPECT_EQ(run("resume r train.steps=6", 3).code, 0);
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
/// "2-ranks-ep1-e8-zero1".
std::string name_of(int ranks, int expert_parallel, int experts, int zero) {
  return std::to_string(ranks) + "-ranks-ep" + std::to_string(expert_parallel) + "-e" + std::to_string(experts) +
         (zero ? "-zero1" : "");
}

/// Lines in which every printable character is as frequent as the others, so that loads are even.
std::string even_text(std::uint32_t lines) {
  std::string text;
  for (std::uint32_t i = 0; i < 64 * lines; ++i)
    text += i % 64 == 63 ? '\n' : static_cast<char>('!' + (i * 2654435761u >> 16) % 94);
  return text;
}

TEST_F(Program, PeakMemoryIsWhatCheckSays) {
  for (const char* file : {"a.txt", "b.txt", "c.txt"}) write(file, even_text(2000));
  ASSERT_EQ(run("data build a.txt b.txt c.txt --out even --tokenizer bytes --validation-share 0.3").code, 0);
  write("xs.yaml",
        "data: {path: even}\nmodel: {vocabulary: 4096}\nmoe: {every: 2, router: hash}\n"
        "train: {steps: 2, warmup: 1, evaluate_every: 1, evaluate_tokens: 4096, checkpoint_every: 1}\n"
        "record: {flush_every: 1, sample_every: 1}\n");
  const struct {
    int ranks, expert_parallel, experts, zero = 0;
    std::string more{};
  } cases[] = {{1, 1, 1},
               {1, 1, 8},
               {1, 1, 128},
               {2, 1, 8},
               {2, 2, 1},
               {2, 2, 8},
               {2, 2, 128},
               {3, 1, 128},
               {3, 3, 8},
               {2, 1, 128, 1},
               {2, 2, 8, 1},
               {4, 1, 8, 1},
               {2, 2, 8, 1, " layout.exchange=node layout.ranks_per_node=1"},
               {1, 1, 8, 0, " layout.recompute=experts"},
               {1, 1, 8, 0, " layout.recompute=blocks"},
               {2, 2, 8, 0, " layout.recompute=experts"},
               {2, 2, 8, 0, " layout.recompute=blocks"},
               {2, 2, 8, 0, " moe.hidden_chunks=2 layout.expert_tensor_parallel=2"},
               {4, 4, 8, 1,
                " moe.hidden_chunks=2 layout.expert_tensor_parallel=2 layout.exchange=node layout.ranks_per_node=2 "
                "layout.lanes=2 layout.schedule=interleaved layout.placement=" +
                    (folder_ / "p.yaml").string()}};
  write("p.yaml", "1: [3, 6, 0, 5, 1, 7, 2, 4]\n3: [7, 0, 6, 1, 5, 2, 4, 3]\n");
  int number = 0;
  for (const auto& [ranks, expert_parallel, experts, zero, more] : cases) {
    const std::string experts_option = "moe.experts=" + std::to_string(experts),
                      parallel_option = "layout.expert_parallel=" + std::to_string(expert_parallel),
                      zero_option = "layout.zero=" + std::to_string(zero);
    const std::string name = std::to_string(number++) + "-" + name_of(ranks, expert_parallel, experts, zero),
                      options = experts_option + " " + parallel_option + " " + zero_option + more;
    const Output o = run("train xs.yaml --run " + name + " " + options, ranks);
    ASSERT_EQ(o.code, 0) << o.err;
    std::istringstream words(options);
    LoadResult loaded = load((folder_ / "xs.yaml").string(),
                             {std::istream_iterator<std::string>(words), std::istream_iterator<std::string>()});
    add_placement(loaded);
    std::int64_t most = 0;
    for (const RankBytes& bytes : train::rank_bytes(loaded.config, ranks)) most = std::max(most, bytes.total());
    const double predicted = double(most) / (1 << 20);
    std::printf("%s: peak resident MiB of a rank: %.1f, predicted %.1f%s\n", name.c_str(), o.largest_mib, predicted,
                more.c_str());
    EXPECT_NEAR(o.largest_mib, predicted, 0.03 * o.largest_mib) << name;
  }
}
#endif

}  // namespace
}  // namespace switchyard
