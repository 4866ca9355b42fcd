// The log of a run: which steps get a line, what stands in it, how long is left, and what it is like where the file
// cannot be made.
#include "train/progress.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <regex>
#include <vector>

#include "support/folder.hpp"
#include "support/refusal.hpp"

namespace switchyard::train {
namespace {

TEST(Duration, IsRoundedBeforeItIsCutIntoUnits) {
  const struct {
    double seconds;
    const char* text;
  } rows[] = {{0.0, "0s"},       {0.49, "0s"},        {0.5, "1s"},          {59.4, "59s"},     {59.5, "1m00s"},
              {60.0, "1m00s"},   {200.0, "3m20s"},    {3599.4, "59m59s"},   {3599.5, "1h00m"}, {3659.9, "1h01m"},
              {3720.0, "1h02m"}, {86399.0, "23h59m"}, {360000.0, "100h00m"}};
  for (const auto& [seconds, text] : rows) EXPECT_EQ(duration(seconds), text) << seconds;
}

/// Lines of log.txt without their time, which is checked.
std::vector<std::string> lines_of(const std::string& file) {
  std::ifstream in(file);
  std::vector<std::string> lines;
  const std::regex form(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d (.*))");
  for (std::string line; std::getline(in, line);) {
    std::smatch parts;
    EXPECT_TRUE(std::regex_match(line, parts, form)) << line;
    lines.push_back(parts.size() > 1 ? parts[1].str() : line);
  }
  return lines;
}

Config config_of(std::int64_t steps, std::int64_t log_every) {
  Config c;
  c.train.steps = steps, c.train.batch = 8, c.model.context = 125;  // 1000 tokens a step
  c.record.log_every = log_every;
  return c;
}

/// The log of steps first … last, each of which took `seconds`.
std::vector<std::string> log_of(const Config& config, std::int64_t first, std::int64_t last, double seconds) {
  const test::Folder folder;
  Progress progress(folder / "log.txt", config, true);
  for (std::int64_t step = first; step <= last; ++step) progress.step({step, 3.25, 1.5e-3, 0.5, seconds, 0.125});
  return lines_of(folder / "log.txt");
}

// The first step alone tells how long the others will take: an hour and five minutes for 39 of 100 s.
TEST(Progress, SaysWhatAStepWasAndHowLongIsLeft) {
  EXPECT_EQ(log_of(config_of(40, 1), 1, 1, 100.0),
            std::vector<std::string>{"info step=1 loss=3.25000 lr=1.500e-03 grad_norm=0.5000 tokens_per_s=10 "
                                     "max_vio=0.125 left=1h05m"});
  EXPECT_EQ(log_of(config_of(40, 1), 38, 38, 100.0),  // a run that was resumed: what was before is not reckoned with
            std::vector<std::string>{"info step=38 loss=3.25000 lr=1.500e-03 grad_norm=0.5000 tokens_per_s=10 "
                                     "max_vio=0.125 left=3m20s"});
}

TEST(Progress, LogsEachMultipleAndTheLastStep) {
  std::vector<std::string> steps;
  for (const std::string& line : log_of(config_of(25, 10), 8, 25, 1e-6))
    steps.push_back(line.substr(0, line.find(" loss")));
  EXPECT_EQ(steps, (std::vector<std::string>{"info step=10", "info step=20", "info step=25"}));
}

TEST(Progress, ALineHasTheTailOfTheHopsSinceTheOneBefore) {
  const test::Folder folder;
  Progress progress(folder / "log.txt", config_of(4, 2), true);
  HopTimes hops({{schedule::Stage::dispatch, schedule::Direction::forward, 0, 0, 0, {}}},
                {{0, schedule::HopKind::rows}});
  for (std::int64_t step = 1; step <= 4; ++step) {
    hops.add(step, {step == 1 ? 50e-3 : 1e-3, 1e-3, 1e-3});
    progress.step({step, 3.25, 1.5e-3, 0.5, 1.0, 0.125}, &hops);
  }
  const std::vector<std::string> lines = lines_of(folder / "log.txt");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_TRUE(lines[0].ends_with("s hop_p50_ms=0.999 hop_p99_ms=49.8 hop_max_ms=50")) << lines[0];
  EXPECT_TRUE(lines[1].starts_with("info slow journey: dispatch forward of block 0, lane 0, took 50 ms on rank 0 in "))
      << lines[1];
  EXPECT_TRUE(lines[2].ends_with("hop_max_ms=1")) << lines[2];
}

TEST(Progress, WritesOnRankZeroOnlyAndAddsToWhatIsThere) {
  const test::Folder folder;
  for (const bool root : {true, false, true}) {
    Progress progress(folder / "log.txt", config_of(4, 1), root);
    progress.line(root ? "a line" : "of another rank"), progress.warn("a {} warning");
    progress.evaluation(3, 2.5, std::numeric_limits<double>::quiet_NaN());
    progress.step({1, 1, 1, 1, 1, 1});
  }
  const std::vector<std::string> lines = lines_of(folder / "log.txt");
  ASSERT_EQ(lines.size(), 8u);
  for (const std::size_t at : {0, 4}) {
    EXPECT_EQ(lines[at], "info a line");
    EXPECT_EQ(lines[at + 1], "warning a {} warning");
    EXPECT_EQ(lines[at + 2], "info evaluation step=3 loss=2.50000 bits_per_byte=nan");
  }
}

TEST(Progress, NamesAFileThatCannotBeMade) {
  const std::string why = test::refusal([] { Progress("/dev/null/log.txt", {}, true); });
  EXPECT_TRUE(why.starts_with("2 ")) << why;
  EXPECT_NE(why.find("/dev/null/log.txt (Not a directory)"), std::string::npos) << why;
  EXPECT_EQ(test::refusal([] { Progress("/dev/null/log.txt", {}, false); }), "") << "another rank makes none";
}

}  // namespace
}  // namespace switchyard::train
