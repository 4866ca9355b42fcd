// The local queue with a shell script for its program: how many tasks run at a time, what is said of each end, what a
// signal does, what a process is given; and the one command of a batch system.
#include "sweep/queue.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <regex>
#include <sstream>

#include "support/child.hpp"
#include "support/refusal.hpp"
#include "sweep/state.hpp"
#include "sweep_folder.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::sweep;
using test::Child;
namespace fs = std::filesystem;

class LocalQueue : public fixtures::SweepFolder {
 protected:
  /// A program that is called as PROGRAM sweep run FOLDER --task N; in its lines $n is N and $r this test's folder.
  sweep::Queue queue_of(const std::string& lines, int jobs = 1) const {
    put("program", "#!/bin/sh\nn=$5 r=" + root_.path() + "\n" + lines + "\n");
    fs::permissions(root_ / "program", fs::perms::owner_all);
    return {folder_, root_ / "program", {}, jobs};
  }
  /// The queue as a process of its own that says what it says in the file "out", a minute at most.
  int work(const sweep::Queue& queue, const std::function<void()>& before) const {
    if (!std::freopen((root_ / "out").c_str(), "w", stdout)) return 99;
    ::alarm(60);
    before();
    return static_cast<int>(run_queue(sweep_, queue));
  }
  int run(
      const sweep::Queue& queue, const std::function<void()>& before = [] {}) const {
    return test::in_child([&] { return work(queue, before); });
  }
  /// What was said of a task, its lines joined by " | "; durations are T.
  std::string said_of(std::size_t index) const {
    const std::string begin = "task " + std::to_string(index) + " " + task(index).name + ": ";
    std::istringstream lines(text_of("out"));
    std::string all;
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with(begin)) all += (all.empty() ? "" : " | ") + line.substr(begin.size());
    return std::regex_replace(all, std::regex("after [0-9]+ s"), "after T");
  }
  std::string log_of(std::size_t i) const { return run_of(i) + ".log"; }
  /// Waits for a file that a task makes.
  void wait_for(const std::string& name) const {
    for (int i = 0; i < 3000 && !fs::exists(root_ / name); ++i) ::usleep(10000);
    ASSERT_TRUE(fs::exists(root_ / name)) << name;
  }
};

TEST_F(LocalQueue, SaysHowEveryTaskEnds) {
  checkpoint(5, 7);
  fs::rename(run_of(5), root_ / "made");
  note_failure(folder_, task(1), Error(Exit::non_finite, "no\nnumber"));
  const sweep::Queue queue = queue_of(
      "case $n in 0) exit 0;; 1) exit 3;; 2) exit 75;; 3) kill -9 $$;; 4) kill -USR2 $$;;\n"
      "5) mv $r/made $3/tasks/" +
      task(5).name + "; exit 5;; esac");
  EXPECT_EQ(run(queue), 3);
  const std::string ends[] = {"finished after T",
                              "failed after T: exit code 3: no number; see " + log_of(1),
                              "stopped early after T; run the sweep again to continue",
                              "failed after T: exit code 137; see " + log_of(3),
                              "failed after T: exit code 140; see " + log_of(4),  // nobody asked it to stop
                              "finished after T: exit code 5; see " + log_of(5)};
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(said_of(i), "started | " + ends[i]) << i;
}

TEST_F(LocalQueue, EndsWithTheFirstFailureElseWithAStop) {
  const struct {
    const char* codes;
    int code;
  } rows[] = {{"0 0 0 0 0 0", 0}, {"0 75 0 0 0 0", 75}, {"75 0 4 0 8 0", 4},
              {"0 0 0 0 0 1", 1}, {"6 3 75 0 0 0", 6},  {"75 75 75 75 75 3", 3}};
  for (const auto& row : rows)
    EXPECT_EQ(run(queue_of("set -- " + std::string(row.codes) + "; shift $n; exit $1")), row.code) << row.codes;
}

// A task ends only after as many have begun as may work at a time, so that fewer would never end; each writes how many
// are at work.
TEST_F(LocalQueue, WorksOnAsManyAsItMay) {
  for (const int jobs : {1, 2, 5, 9}) {
    const int together = std::min(jobs, 6);
    EXPECT_EQ(run(queue_of("touch $r/begun.$n $r/at_work.$n; ls $r | grep -c at_work >> $r/seen\n"
                           "until [ $(ls $r | grep -c begun) -ge " +
                               std::to_string(together) +
                               " ]; do sleep 0.01; done\n"
                               "rm $r/at_work.$n",
                           jobs)),
              0)
        << jobs;
    std::istringstream seen(text_of("seen"));
    std::vector<int> counts;
    for (int count; seen >> count;) counts.push_back(count);
    EXPECT_EQ(counts.size(), 6u) << jobs;
    EXPECT_LE(*std::max_element(counts.begin(), counts.end()), together) << jobs;
    for (const auto& entry : fs::directory_iterator(root_.path()))
      if (entry.path().filename().string().starts_with("begun") || entry.path().filename() == "seen")
        fs::remove(entry.path());
  }
}

TEST_F(LocalQueue, StartsInOrderWhatIsNotFinished) {
  checkpoint(0, 7), checkpoint(3, 8), checkpoint(4, 6);
  EXPECT_EQ(run(queue_of("echo $n >> $r/order")), 0);
  EXPECT_EQ(text_of("order"), "1\n2\n4\n5\n");
  for (const std::size_t finished : {0u, 3u}) EXPECT_EQ(said_of(finished), "finished already");
}

// Whatever the queue itself was started with: nothing blocked, nothing ignored that it ignores for itself, a process
// group of its own, no standard input. Output of every attempt stays in the log.
TEST_F(LocalQueue, ATaskIsAProcessAsAShellWouldStartIt) {
  sweep::Queue queue = queue_of(
      "echo \"$MARK:$*:\" $(readlink /proc/self/fd/0); echo to stderr >&2\n"
      "[ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] && echo leads; exec grep -E 'SigBlk|SigIgn' /proc/self/status");
  queue.launch = {"/usr/bin/env", "MARK=one word"};
  const auto before = [] {
    for (const int ignored : {SIGPIPE, SIGXFSZ}) std::signal(ignored, SIG_IGN);
    sigset_t held;
    sigemptyset(&held), sigaddset(&held, SIGALRM);
    sigprocmask(SIG_BLOCK, &held, nullptr);
  };
  EXPECT_EQ(run(queue, before), 0);
  const std::string log = files::read_text(log_of(5));
  EXPECT_TRUE(log.starts_with("one word:sweep run " + folder_ + " --task 5: /dev/null\nto stderr\nleads\n")) << log;
  EXPECT_NE(log.find("SigBlk:\t0000000000000000\n"), std::string::npos) << log;
  const std::uint64_t ignored = std::stoull(log.substr(log.find("SigIgn:") + 8), nullptr, 16);
  for (const int signal : {SIGPIPE, SIGXFSZ, SIGCHLD}) EXPECT_EQ(ignored >> (signal - 1) & 1, 0u) << signal;
  EXPECT_EQ(run(queue, before), 0);
  EXPECT_EQ(files::read_text(log_of(5)), log + log);
}

TEST_F(LocalQueue, NothingIsWrittenWhereNoLogCanBe) {
  fs::create_symlink(root_ / "elsewhere", log_of(0));
  ASSERT_EQ(::mkfifo(log_of(1).c_str(), 0666), 0);
  fs::create_directory(log_of(2));
  EXPECT_EQ(run(queue_of("touch $r/ran.$n")), 2);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(fs::exists(root_ / ("ran." + std::to_string(i))), i > 2) << i;
    EXPECT_TRUE(said_of(i).starts_with(i > 2 ? "started" : "failed: cannot open " + log_of(i) + " (")) << said_of(i);
  }
  EXPECT_FALSE(fs::exists(root_ / "elsewhere"));
}

TEST_F(LocalQueue, WhatCannotBeStartedIsSaid) {
  put("plain", "#!/bin/sh\n");
  const struct {
    std::string program;
    std::vector<std::string> launch;
    std::string says;
  } rows[] = {
      {root_ / "none", {}, root_ / "none cannot be started (No such file or directory)"},
      {root_ / "plain", {}, root_ / "plain cannot be started (Permission denied)"},
      {root_.path(), {}, root_.path() + " cannot be started (Permission denied)"},
      {"/bin/true", {"no-such-launcher", "-n"}, "no-such-launcher cannot be started (No such file or directory)"}};
  for (const auto& row : rows) {
    EXPECT_EQ(run({folder_, row.program, row.launch, 2}), 2) << row.says;
    for (std::size_t i = 0; i < 6; ++i)
      EXPECT_EQ(said_of(i), "failed: " + row.says + "; see --launch of switchyard sweep run");
  }
}

// One task ends in order, one dies of the signal before it listens, one fails on its way; none begins any more.
TEST_F(LocalQueue, ASignalStopsTheRunningTasksAfterACheckpoint) {
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) {
    const sweep::Queue queue = queue_of(
        "case $n in 0) trap 'exit 75' USR2;; 2) trap 'exit 4' USR2;; esac\n"
        "touch $r/ready.$n; while :; do sleep 0.02; done",
        3);
    Child child([&] { return work(queue, [] {}); });
    for (const char* ready : {"ready.0", "ready.1", "ready.2"}) wait_for(ready), fs::remove(root_ / ready);
    ::kill(child.process(), signal);
    EXPECT_EQ(child.wait(), 4) << signal;
    EXPECT_NE(text_of("out").find(": stopping 3 running tasks after a checkpoint\n"), std::string::npos);
    for (const std::size_t i : {0u, 1u})
      EXPECT_EQ(said_of(i), "started | stopped early after T; run the sweep again to continue") << i;
    EXPECT_EQ(said_of(2), "started | failed after T: exit code 4; see " + log_of(2));
    for (const std::size_t i : {3u, 4u, 5u}) EXPECT_EQ(said_of(i), "") << i;
  }
}

TEST_F(LocalQueue, ASignalThatWaitsAlreadyLetsNothingBegin) {
  const auto before = [] {
    sigset_t held;
    sigemptyset(&held), sigaddset(&held, SIGTERM);
    sigprocmask(SIG_BLOCK, &held, nullptr);
    std::raise(SIGTERM);
  };
  EXPECT_EQ(run(queue_of("touch $r/ran"), before), 75);
  EXPECT_FALSE(fs::exists(root_ / "ran"));
  EXPECT_EQ(said_of(0), "");
}

// Children that others of this process have left are none of its tasks; and who started it may ignore SIGCHLD, which a
// process inherits, and with it every end.
TEST_F(LocalQueue, NoEndIsMissed) {
  const sweep::Queue queue = queue_of("exit $n");  // one at a time: the first failure is task 1
  const auto leave_children = [] {
    for (int i = 0; i < 20; ++i)
      if (::fork() == 0) ::_exit(9);
  };
  EXPECT_EQ(run(queue, leave_children), 1);
  EXPECT_EQ(run(queue, [] { std::signal(SIGCHLD, SIG_IGN); }), 1);
  EXPECT_EQ(said_of(3), "started | failed after T: exit code 3; see " + log_of(3));
}

TEST(OutputOf, GivesWhatACommandPrints) {
  const struct {
    std::vector<std::string> command;
    std::string output;
  } rows[] = {{{"true"}, ""},
              {{"echo"}, ""},
              {{"printf", "12;cluster\n"}, "12;cluster"},
              {{"printf", "%s", "one word $HOME"}, "one word $HOME"},
              {{"printf", "a\n\nb"}, "a\n\nb"},
              {{"printf", "a\\000b"}, std::string("a\0b", 3)},
              {{"sh", "-c", "echo no >&2; echo yes"}, "yes"},
              {{"sh", "-c", "printf x; exec 1>&-; sleep 0.1"}, "x"},
              {{"sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x"}, std::string(300000, 'x')}};
  for (const auto& row : rows) EXPECT_EQ(output_of(row.command, ""), row.output) << row.command.back();
}

TEST(OutputOf, RefusesWhatFails) {
  const struct {
    std::vector<std::string> command;
    std::string says;
  } rows[] = {{{"no-such-command", "-x"}, "2 no-such-command cannot be started (No such file or directory); do so"},
              {{"sh", "-c", "exit 3"}, "2 sh -c exit 3 failed (exit code 3); do so"},
              {{"sh", "-c", "echo 12; kill -9 $$"}, "2 sh -c echo 12; kill -9 $$ failed (exit code 137); do so"}};
  for (const auto& row : rows) {
    const auto refused = [&] { return test::refusal([&] { output_of(row.command, "do so"); }); };
    EXPECT_EQ(refused(), row.says);
    EXPECT_EQ(test::in_child([&] { return std::signal(SIGCHLD, SIG_IGN), refused() == row.says ? 0 : 1; }), 0)
        << row.says;
  }
}

}  // namespace
