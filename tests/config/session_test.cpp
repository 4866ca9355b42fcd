// links: train
// Ranks that are not alike: one that fails, one that stands elsewhere, more threads than there are cores.
#include <sched.h>

#include <array>

#include "support/program.hpp"

namespace switchyard {
namespace {

class Sessions : public Program {
 protected:
  void SetUp() override {
    Program::SetUp();
    write("c.yaml",
          "model: {vocabulary: 64, width: 16, heads: 2, blocks: 2, context: 16, hidden: 32}\n"
          "moe: {experts: 4, hidden: 16}\ntrain: {batch: 4, grains: 4, evaluate_every: 0}\n");
  }

  /// Runs a benchmark of one step, each rank through a script that does `lines` first.
  Output bench(const std::string& options, int ranks, const std::string& lines = "") {
    write("each", "#!/bin/bash\n" + lines + "exec \"$@\"\n");
    fs::permissions(folder_ / "each", fs::perms::owner_all);
    wrapper_ = (folder_ / "each").string();
    const Output o = run("bench step c.yaml --warmup 0 --repetitions 1 " + options, ranks);
    wrapper_.clear();
    return o;
  }
};

// The other ranks wait for it in the middle of a step: they must not wait for ever, nor say anything themselves, even
// where mpirun leaves them the time to.
#ifndef __SANITIZE_ADDRESS__  // it wants terabytes
TEST_F(Sessions, ARankThatFailsAloneEndsAll) {
  const std::string limit = "[ $OMPI_COMM_WORLD_RANK != 1 ] || ulimit -v 400000\n";
  if (bench("", 3, limit).code != 0) GTEST_SKIP() << "the loader alone needs more";
  grace_ = true;
  const Output o = bench("model.width=1024 model.hidden=4096", 3, limit);
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  EXPECT_EQ(o.code, 8) << o.err;
  EXPECT_EQ(count(o.err, std::string("switchyard: rank 1 of 3 on ") + host.data() + ": no memory is left ("), 1)
      << o.err;
  EXPECT_EQ(count(o.err, "switchyard: rank "), 1) << o.err;
}
#endif

// What rank 0 reads is what all have: the others may run where there is no such file, or another one.
TEST_F(Sessions, RankZeroReadsForAll) {
  fs::create_directories(folder_ / "none");
  fs::create_directories(folder_ / "other");
  write("other/c.yaml", "model: {width: x}\n");
  const std::string elsewhere =
      "case $OMPI_COMM_WORLD_RANK in 1) cd none;; 2) cd other;; esac\n";  // before it reads anything
  const Output o = bench("", 3, elsewhere);
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(count(o.out, "\"ranks\":3"), 1) << o.out;
  const Output bad = bench("moe.top_k=5", 3, elsewhere);
  EXPECT_EQ(bad.code, 2);
  EXPECT_EQ(count(bad.err, "moe.top_k: 5 is more than moe.experts 4"), 1) << bad.err;
  EXPECT_EQ(count(bad.err, "width"), 0) << bad.err;
}

TEST_F(Sessions, MoreThreadsThanCoresAreRemarkedOnce) {
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  const int cores = CPU_COUNT(&set), online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  const std::string threads = std::to_string(cores + 1), all = std::to_string(online);
  for (const int ranks : {0, 2}) {
    const Output o = bench("layout.threads=" + threads, ranks);
    if (count(o.err, "but this build runs 1 thread a rank") == 1) GTEST_SKIP() << "Kokkos without threads";
    EXPECT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(count(o.err, "switchyard: note: " + threads + " threads a rank share " + std::to_string(cores) + " core"),
              1)
        << o.err;
  }
  if (cores != online) return;
  EXPECT_EQ(count(bench("layout.threads=" + all, 0).err, " share "), 0) << "each has a core";
  const Output o = bench("layout.threads=" + all, 2);
  EXPECT_EQ(count(o.err, "switchyard: note: 2 ranks of " + all + " threads share the " + all + " cores of a node"), 1)
      << o.err;
}

}  // namespace
}  // namespace switchyard
