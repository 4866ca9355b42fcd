// A full disk is Error{storage}, the checkpoints before it stay whole, and the program still ends in order.
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>

#include "base/check.hpp"
#include "record/verify.hpp"
#include "run_fixture.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;
using fixtures::Folder;

/// The records are written by host code, which the CPU builds test here.
#ifdef KOKKOS_ENABLE_CUDA
#define SKIP_ON_A_DEVICE GTEST_SKIP() << "the child of a fork cannot use the device"
#else
#define SKIP_ON_A_DEVICE static_cast<void>(0)
#endif

/// Runs `work` in a child that leaves through exit(), as a program does; its exit code, 200 + signal if it died of one.
int exit_of(const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) std::exit(work());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 200 + WTERMSIG(status) : WEXITSTATUS(status);
}

int code_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return static_cast<int>(error.code());
  }
  return 0;
}

constexpr int no_space = static_cast<int>(Exit::storage);

/// A file system of 3 MB; without the right to mount one, a limit on the size of a file.
class SmallDisk {
 public:
  SmallDisk() { mounted_ = mount("none", folder_.path().c_str(), "tmpfs", 0, "size=3m") == 0; }
  ~SmallDisk() {
    if (mounted_) umount2(folder_.path().c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  const std::string& path() const { return folder_.path(); }

 private:
  Folder folder_;
  bool mounted_ = false;
};

void limit_file_size(rlim_t bytes) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{bytes, bytes};
  setrlimit(RLIMIT_FSIZE, &limit);
}

/// Many experts' statistics, so that a few rows fill the disk.
Config large_rows() {
  Config config = fixtures::small_config();
  config.moe.experts_per_block = {0, 4096, 0, 5};
  return config;
}

int fill_with_rows(const std::string& path) {
  return code_of([&] {
    RunFile rows(path, large_rows(), 1, "yaml", "{}", 0);
    for (std::int64_t step = 1; step < 400; ++step) {
      StepRow row = fixtures::row_of(large_rows(), step, 1);
      std::uint64_t noise = static_cast<std::uint64_t>(step);  // so that deflate cannot help
      for (auto& value : row.layers[0].prob_mass)
        value = static_cast<double>(noise = noise * 6364136223846793005ull + 1);
      rows.append(row);
    }
    rows.close();
  });
}

TEST(NoSpace, RowsOnAFullDisk) {
  SKIP_ON_A_DEVICE;
  const SmallDisk disk;
  if (!disk.mounted()) GTEST_SKIP() << "no right to mount a tmpfs";
  EXPECT_EQ(exit_of([&] { return fill_with_rows(disk.path() + "/run.h5"); }), no_space);
}

TEST(NoSpace, RowsBeyondAFileSizeLimit) {
  SKIP_ON_A_DEVICE;
  const Folder folder;
  EXPECT_EQ(exit_of([&] {
              limit_file_size(1 << 20);
              return fill_with_rows(folder / "run.h5");
            }),
            no_space);
}

int fill_with_checkpoints(const std::string& run, const std::string& ballast) {
  const Config config = fixtures::small_config();
  fixtures::write_checkpoint(run, config, 1);
  const int first = code_of([&] {
    if (ballast.empty()) return limit_file_size(20000);
    const std::string block(1 << 16, 'x');
    std::FILE* file = std::fopen(ballast.c_str(), "wb");
    while (std::fwrite(block.data(), 1, block.size(), file) == block.size() && std::fflush(file) == 0) continue;
    std::fclose(file);
  });
  return first ? 90 : code_of([&] { fixtures::write_checkpoint(run, config, 2); });
}

/// A run's checkpoint after the failed one: the old one alone, whole, and nothing left beside it.
void expect_first_intact(const std::string& run) {
  EXPECT_EQ(checkpoint::latest_checkpoint(run), run + "/checkpoints/step-00000001");
  EXPECT_EQ(verify_path(run + "/checkpoints/step-00000001").problems, std::vector<std::string>{});
  EXPECT_FALSE(std::filesystem::exists(run + "/checkpoints/.step-00000002.tmp"));
}

TEST(NoSpace, CheckpointOnAFullDisk) {
  SKIP_ON_A_DEVICE;
  const SmallDisk disk;
  if (!disk.mounted()) GTEST_SKIP() << "no right to mount a tmpfs";
  EXPECT_EQ(exit_of([&] { return fill_with_checkpoints(disk.path(), disk.path() + "/ballast"); }), no_space);
  expect_first_intact(disk.path());
}

TEST(NoSpace, CheckpointBeyondAFileSizeLimit) {
  SKIP_ON_A_DEVICE;
  const Folder run;
  EXPECT_EQ(exit_of([&] { return fill_with_checkpoints(run.path(), ""); }), no_space);
  expect_first_intact(run.path());
}

}  // namespace
