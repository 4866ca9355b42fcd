// What a process does with its standard streams and with the signals that ask it to end. Each case runs in a process of
// its own, since all of this changes a whole process.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "base/files.hpp"
#include "base/output.hpp"
#include "base/signals.hpp"
#include "support/child.hpp"
#include "support/folder.hpp"

namespace switchyard {
namespace {

/// Standard output of this process becomes the file `path`.
void send_output_to(const std::string& path) {
  std::fflush(stdout);
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT, 0600);
  ::dup2(file, STDOUT_FILENO);
  if (file != STDOUT_FILENO) ::close(file);
}

/// A pipe that nobody reads any more.
void send_output_to_a_broken_pipe() {
  int ends[2] = {};
  if (::pipe(ends) != 0) return;
  ::dup2(ends[1], STDOUT_FILENO);
  ::close(ends[0]), ::close(ends[1]);
}

/// What take_loss() says, first and then, in a process that printed `text` to what `send` made of its standard output.
std::string loss_of(
    const std::function<void()>& send, const std::string& text, const std::function<void()>& more = [] {}) {
  const test::Folder folder;
  const int code = test::in_child([&] {
    send();
    output::prepare();
    more();
    std::fwrite(text.data(), 1, text.size(), stdout);
    const std::string first = output::take_loss(), second = output::take_loss();
    files::write_text(folder / "said", first + "|" + second);
    return 0;
  });
  return code == 0 ? files::read_text(folder / "said") : "ended with " + std::to_string(code);
}

std::string lost(const std::string& why) {
  return "cannot write to standard output (" + why +
         "); files that the command makes are whole, what it prints is not: give it a place for that|";
}

TEST(Output, WhatDoesNotArriveIsSaidOnceWithItsReason) {
  const test::Folder folder;
  const auto full = [] { send_output_to("/dev/full"); };
  const auto closed = [] { ::close(STDOUT_FILENO); };
  const std::string longer(1 << 16, 'x');  // more than the buffer: part of it is written before it is asked for
  for (const std::string& text : {std::string("short"), longer}) {
    EXPECT_EQ(loss_of([&] { send_output_to(folder / "out"); }, text), "|");
    EXPECT_EQ(files::read_text(folder / "out"), text);
    EXPECT_EQ(loss_of(full, text), lost("No space left on device"));
    EXPECT_EQ(loss_of(closed, text), lost("it is closed"));
    EXPECT_EQ(loss_of(send_output_to_a_broken_pipe, text), lost("Broken pipe")) << "and no signal";
  }
  EXPECT_EQ(loss_of([&] { send_output_to(folder / "limited"), test::limit_files(1000); }, longer),
            lost("File too large"));
  for (const auto& quiet : std::vector<std::function<void()>>{full, closed})
    EXPECT_EQ(loss_of(quiet, ""), "|") << "nothing was to arrive";
}

TEST(Output, OtherPlacesAreNamed) {
  const auto full = [] { send_output_to("/dev/full"); };
  EXPECT_EQ(loss_of(full, "line", [] { output::also_in("r/log.txt"); }),
            "the log on standard output was lost (No space left on device), the run was not; all lines stand in "
            "r/log.txt|");
  const auto others = [] { output::lose("the first"), output::lose("the second"); };
  EXPECT_EQ(loss_of([] { send_output_to("/dev/null"); }, "line", others), "the first|");
  EXPECT_EQ(loss_of(full, "line", others), lost("No space left on device"));
}

// Whichever of the three streams are closed at the start, a file that is opened later gets none of their numbers: what
// is printed would go into it.
TEST(Output, NoFileTakesTheNumberOfAClosedStream) {
  const test::Folder folder;
  for (int closed = 0; closed < 8; ++closed)
    EXPECT_EQ(test::in_child([&] {
                send_output_to("/dev/null");
                for (const int stream : {0, 1, 2})
                  if (closed >> stream & 1) ::close(stream);
                output::prepare();
                const int file = ::open((folder / "file").c_str(), O_RDWR | O_CREAT, 0600);
                std::printf("lost or not"), std::fprintf(stderr, "%s", "");
                const bool whole = output::flush();
                struct stat status {};
                ::fstat(file, &status);
                return file > 2 && status.st_size == 0 && whole == !(closed >> 1 & 1) ? 0 : 1;
              }),
              0)
        << "streams " << closed;
}

constexpr int held_signals[] = {SIGUSR1, SIGUSR2, SIGTERM, SIGINT, SIGHUP};

TEST(Signals, ThoseThatAskForAnEndWaitAndAreNamed) {
  const char* const names[] = {"SIGUSR1", "SIGUSR2", "SIGTERM", "SIGINT", "SIGHUP"};
  for (int i = 0; i < 5; ++i) EXPECT_STREQ(signal_name(held_signals[i]), names[i]);
  for (const int number : held_signals) {
    const int code = test::in_child([&] {
      std::signal(number, SIG_DFL);
      const sigset_t before = hold_stop_signals();
      ::raise(number);  // whose default ends the process
      sigset_t waiting;
      sigpending(&waiting);
      const bool waits = sigismember(&waiting, number) == 1 && sigismember(&before, number) == 0;
      const sigset_t set = stop_signal_set();
      int taken = 0;
      return waits && sigwait(&set, &taken) == 0 && taken == number ? 0 : 1;
    });
    EXPECT_EQ(code, 0) << signal_name(number);
  }
}

TEST(Signals, OthersEndTheProcessAtOnce) {
  for (const int number : {SIGQUIT, SIGALRM, SIGPIPE, SIGSEGV})
    EXPECT_EQ(test::in_child([&] {
                const rlimit none{0, 0};
                ::setrlimit(RLIMIT_CORE, &none);
                std::signal(number, SIG_DFL);
                hold_stop_signals();
                ::raise(number);
                return 0;
              }),
              200 + number);
}

// nohup starts a program with SIGHUP ignored, and means it.
TEST(Signals, AnIgnoredHangUpIsNotWaitedFor) {
  for (const bool ignored : {false, true})
    EXPECT_EQ(test::in_child([&] {
                std::signal(SIGHUP, ignored ? SIG_IGN : SIG_DFL);
                const auto& all = stop_signals();
                const sigset_t set = stop_signal_set();
                const bool listed = std::find(all.begin(), all.end(), SIGHUP) != all.end();
                return listed == !ignored && (sigismember(&set, SIGHUP) == 1) == listed && all.size() == 4u + listed;
              }),
              1)
        << ignored;
}

}  // namespace
}  // namespace switchyard
