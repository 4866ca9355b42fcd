// The built program in a test: run in a folder of its own, with its output and exit code. Uses the binary that stands
// beside the tests' folder.
#pragma once
// GCC 12 sees overflows in std::string += that are not there.
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wrestrict"
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

namespace switchyard {

namespace fs = std::filesystem;

struct Output {
  int code = -1;
  std::string out, err;
  double largest_mib = 0.0;  ///< of a process of the command
};

inline std::string read(const fs::path& file) {
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
                          "OMP_WAIT_POLICY=passive ${OMPI_MCA_pml:+OMPI_MCA_pml=$OMPI_MCA_pml} "
                          "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1 "
                          "OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_rmaps_base_oversubscribe=1 "
                          "OMPI_MCA_plm_rsh_agent=false ";  // no other host is reached, so no ssh is needed
    if (!grace_) command += "OMPI_MCA_odls_base_sigkill_timeout=0 ";
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

  /// Words that start a program as another user, where this one is root; else none.
  static std::string as_another() {
    return geteuid() == 0 ? "setpriv --reuid=65534 --regid=65534 --clear-groups " : "";
  }

  /// Everything of the test belongs to that user from now on.
  void give_to_another() const {
    if (geteuid() != 0) return;
    EXPECT_EQ(lchown(folder_.c_str(), 65534, 65534), 0);
    for (const auto& entry : fs::recursive_directory_iterator(folder_))
      EXPECT_EQ(lchown(entry.path().c_str(), 65534, 65534), 0) << entry.path();
  }

  /// Waits until the run r has made its tenth step, then goes on with `lines`; a minute at most.
  static std::string from_step_10(const std::string& lines) {
    return "n=0; while ! grep -q 'step=10 ' r/segments/000/log.txt 2>/dev/null && [ $n -lt 600 ]; do sleep 0.1; "
           "n=$((n + 1)); done; " +
           lines;
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
  bool grace_ = false;   ///< mpirun gives ranks a second when one has ended with a code, as by default
};

inline int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

}  // namespace switchyard
