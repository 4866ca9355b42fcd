// A job that is killed at any moment loses no row that it has acknowledged, and leaves files that open and verify.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <thread>

#include "record/record_reader.hpp"
#include "record/verify.hpp"
#include "run_fixture.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;

/// Appends rows without end; tells each step through the pipe once its chunk is flushed.
[[noreturn]] void write_until_killed(const std::string& path, int told) {
  Config config = fixtures::small_config();
  config.train.evaluate_every = 0;  // none is written
  RunFolder folder(path);
  const std::string segment = folder.start_segment(), text = dump(config, {}) + config_end;
  folder.write("config.yaml", text);
  RunFile rows(segment + "/run.h5", config, 1, text, "{}", 0);
  TokenFile tokens(segment + "/tokens.r0000.h5", config, config.step_tokens());
  const Range all{0, config.train.batch};
  for (std::int64_t step = 1;; ++step) {
    const StepRow row = fixtures::row_of(config, step, 1);
    if (step % 2 == 0)
      tokens.append(step, fixtures::batch_of(config, step, all), fixtures::routing_of(config, row, all));
    rows.append(row);
    if (step % config.record.timeline_every == 0) rows.append(fixtures::timeline_of(config, step, 1));
    if (step % config.record.flush_every == 0 && write(told, &step, sizeof step) != sizeof step) _exit(1);
  }
}

/// Kills the writer after `delay`; returns the last step that it acknowledged.
std::int64_t kill_writer(const std::string& path, std::chrono::microseconds delay) {
  int channel[2];
  if (pipe(channel) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) write_until_killed(path, channel[1]);
  close(channel[1]);
  std::int64_t acknowledged = 0;
  // The first chunk starts the clock: before it there is nothing to lose.
  if (read(channel[0], &acknowledged, sizeof acknowledged) != sizeof acknowledged) return -1;
  std::thread killer([=] {
    std::this_thread::sleep_for(delay);
    kill(child, SIGKILL);
  });
  for (std::int64_t step; read(channel[0], &step, sizeof step) == sizeof step;) acknowledged = step;
  killer.join();
  waitpid(child, nullptr, 0);
  close(channel[0]);
  return acknowledged;
}

TEST(Kill, EveryAcknowledgedRowIsReadable) {
  std::mt19937 random(std::random_device{}());
  std::int64_t total = 0;
  for (int trial = 0; trial < 20; ++trial) {
    const fixtures::Folder run;
    const std::int64_t acknowledged = kill_writer(run.path(), std::chrono::microseconds(random() % 60000));
    ASSERT_GT(acknowledged, 0);
    const RecordReader file(run / "segments/000/run.h5");
    ASSERT_GE(file.length("row"), acknowledged);
    const auto steps = file.read<std::int64_t>("step", 0, file.length("row"));
    const auto losses = file.read<double>("loss", 0, file.length("row"));
    for (std::size_t r = 0; r < steps.size(); ++r) {
      ASSERT_EQ(steps[r], static_cast<std::int64_t>(r) + 1);
      ASSERT_EQ(losses[r], fixtures::row_of(fixtures::small_config(), steps[r], 1).loss.total());
    }
    for (const auto& problem : verify_path(run.path()).problems) ADD_FAILURE() << problem;
    total += acknowledged;
  }
  std::printf("%lld rows acknowledged in 20 trials\n", static_cast<long long>(total));
}

}  // namespace
