#include "train/progress.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <system_error>

#include "base/files.hpp"
#include "base/output.hpp"

namespace switchyard::train {
namespace {

using Clock = std::chrono::steady_clock;

/// Standard output, whose loss is the end's to tell: the run goes on without it.
class OutputSink : public spdlog::sinks::base_sink<std::mutex> {
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t text;
    formatter_->format(message, text);
    std::fwrite(text.data(), 1, text.size(), stdout);
  }
  void flush_() override { output::flush(); }
};

spdlog::sink_ptr make_file_sink(const std::string& file) try {
  errno = 0;
  return std::make_shared<spdlog::sinks::basic_file_sink_mt>(file);
} catch (const spdlog::spdlog_ex&) {
  files::throw_system_error(errno, "create", file);
}

std::shared_ptr<spdlog::logger> make_logger(const std::string& file, const std::vector<spdlog::sink_ptr>& sinks) {
  auto log = std::make_shared<spdlog::logger>("switchyard", sinks.begin(), sinks.end());
  log->set_pattern("%Y-%m-%dT%H:%M:%S %l %v");
  log->flush_on(spdlog::level::info);
  log->set_error_handler([file](const std::string& what) {
    output::lose(file + " lacks lines (" + what + "); the rest of the run is whole");
  });
  return log;
}

/// Whether a person watches: launchers give ranks a pseudo-terminal of their own, so the launcher's output counts too.
bool person_watches() {
  if (!isatty(STDOUT_FILENO)) return false;
  const char* launchers[] = {"PMIX_RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK"};
  if (std::none_of(std::begin(launchers), std::end(launchers), [](const char* name) { return std::getenv(name); }))
    return true;
  std::error_code error;
  const auto target = std::filesystem::read_symlink("/proc/" + std::to_string(getppid()) + "/fd/1", error).string();
  return !error && (target.starts_with("/dev/pts/") || target.starts_with("/dev/tty"));
}

}  // namespace

std::string duration(double seconds) {
  const auto s = static_cast<std::int64_t>(seconds + 0.5);
  if (s >= 3600) return fmt::format("{}h{:02}m", s / 3600, s % 3600 / 60);
  if (s >= 60) return fmt::format("{}m{:02}s", s / 60, s % 60);
  return fmt::format("{}s", s);
}

std::string milliseconds(double seconds) {
  return seconds >= 0.1 ? fmt::format("{:.1f} ms", seconds * 1e3) : fmt::format("{:.4g} ms", seconds * 1e3);
}

Progress::Progress(const std::string& file, const Config& config, bool root)
    : config_(config), root_(root), terminal_(root && person_watches()), start_(Clock::now()), last_line_(start_) {
  if (!root_) return;
  const spdlog::sink_ptr into_file = make_file_sink(file);
  log_ = make_logger(file, {std::make_shared<OutputSink>(), into_file});
  file_log_ = make_logger(file, {into_file});
  output::also_in(file);
}

Progress::~Progress() = default;

void Progress::line(const std::string& text) {
  if (!root_) return;
  if (terminal_) std::fputs("\r\x1b[K", stdout);
  log_->info(text);
  watch_output();
}

void Progress::warn(const std::string& text) {
  if (!root_) return;
  log_->warn(text);
  watch_output();
}

void Progress::watch_output() {
  if (output::flush() || std::exchange(output_lost_, true)) return;
  file_log_->warn("standard output was lost: the run goes on, its lines are here only");
}

bool Progress::due(std::int64_t step) {
  const auto now = Clock::now();
  const bool is_due = step % config_.record.log_every == 0 || step == config_.train.steps ||
                      now - last_line_ > std::chrono::seconds(60);
  if (is_due) last_line_ = now;
  return is_due;
}

double Progress::seconds_left(std::int64_t step) const {
  const double spent = std::chrono::duration<double>(Clock::now() - start_).count();
  return spent / static_cast<double>(step - first_step_ + 1) * static_cast<double>(config_.train.steps - step);
}

void Progress::step(const StepLine& row, HopTimes* hops) {
  if (!root_) return;
  if (first_step_ < 0)
    first_step_ = row.step,
    start_ = Clock::now() - std::chrono::microseconds(static_cast<std::int64_t>(row.wall_seconds * 1e6));
  const double speed = static_cast<double>(config_.step_tokens()) / row.wall_seconds;
  const std::string left = duration(seconds_left(row.step));
  if (terminal_) {
    std::fputs(fmt::format("\r\x1b[Kstep {}/{}  loss {:.4f}  {:.0f} tokens/s  MaxVio {:.2f}  {} left{}", row.step,
                           config_.train.steps, row.loss, speed, row.max_vio, left,
                           row.step == config_.train.steps ? "\n" : "")
                   .c_str(),
               stdout);
    watch_output();
  }
  if (!due(row.step)) return;
  const std::string text = fmt::format(
      "step={} loss={:.5f} lr={:.3e} grad_norm={:.4f} tokens_per_s={:.0f} max_vio={:.3f} left={}{}", row.step, row.loss,
      row.learning_rate, row.gradient_norm, speed, row.max_vio, left, hops ? hops->tail() : "");
  write(text);
  if (!hops) return;
  if (const std::string outlier = hops->outlier(); !outlier.empty()) write(outlier);
  hops->clear();
}

/// Where a person watches, the terminal has the progress line instead.
void Progress::write(const std::string& text) { terminal_ ? file_log_->info(text) : line(text); }

void Progress::evaluation(std::int64_t step, double loss, double bits_per_byte) {
  line(fmt::format("evaluation step={} loss={:.5f} bits_per_byte={:.4f}", step, loss, bits_per_byte));
}

}  // namespace switchyard::train
