// links: train
// A disk that fills up at any point of a run on two ranks ends both with 5, and what was acknowledged stays.
#include <sys/mount.h>

#include "support/program.hpp"

namespace switchyard {
namespace {

class FullDisk : public Program {};

TEST_F(FullDisk, AnyMomentEndsAllRanksAlike) {
  make_tiny();
  const std::string disk = (folder_ / "disk").string();
  fs::create_directory(disk);
  int full = 0, sound = 0, zero = 0;
  for (int kib = 96; kib <= 1536; kib += kib / 6) {
    const std::string size = "size=" + std::to_string(kib) + "k";
    if (mount("none", disk.c_str(), "tmpfs", 0, size.c_str()) != 0) GTEST_SKIP() << "no right to mount a tmpfs";
    zero = 1 - zero;  // with shards others send, whether rank 0 can write or not
    const Output o =
        run("train tiny.yaml --run disk/r train.steps=5 train.checkpoint_every=4 layout.expert_parallel=1 "
            "layout.zero=" +
                std::to_string(zero),
            2);
    EXPECT_TRUE(o.code == 0 || o.code == 5) << kib << " KiB: " << o.code << "\n" << o.err;
    EXPECT_EQ(count(o.err, "MPI_ABORT"), 0) << kib << " KiB:\n" << o.err;
    full += o.code == 5, sound += o.code == 0;
    umount2(disk.c_str(), MNT_DETACH);
  }
  EXPECT_GE(full, 5);
  EXPECT_GE(sound, 1);
}

}  // namespace
}  // namespace switchyard
