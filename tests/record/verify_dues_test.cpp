// verify knows of which steps a segment must have timelines and evaluations.
#include <gtest/gtest.h>

#include "record/verify.hpp"
#include "run_fixture.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;
using fixtures::Folder;
using fixtures::joined;

/// A run.h5 of steps [first, last] in a folder of its own, with the timelines and evaluations of some steps; what is
/// wrong with it.
struct Dues {
  std::int64_t first, last;
  std::vector<std::int64_t> timelines{}, evaluations{};
  std::int64_t timeline_every = 0, evaluate_every = 0;
};

std::string problems_of(const Dues& dues) {
  const Folder folder;
  Config config = fixtures::small_config();
  config.record.timeline_every = dues.timeline_every, config.train.evaluate_every = dues.evaluate_every;
  config.record.flush_every = 1;
  RunFile rows(folder / "run.h5", config, fixtures::apart(2), dump(config, {}), "{}", dues.first - 1);
  for (std::int64_t step = dues.first; step <= dues.last; ++step) rows.append(fixtures::row_of(config, step, 2));
  for (const std::int64_t step : dues.timelines) rows.append(fixtures::timeline_of(config, step, 2));
  for (const std::int64_t step : dues.evaluations) {
    EvaluationRow row;
    row.step = step, row.block_loss.assign(EvaluationRow::blocks, 1.0);
    rows.append(row);
  }
  rows.close();
  return joined(verify_path(folder / "run.h5").problems);
}

std::string problems_of_timelines(std::int64_t first, std::int64_t last, const std::vector<std::int64_t>& timelines,
                                  std::int64_t every = 4) {
  return problems_of({first, last, timelines, {}, every, 0});
}

std::string problems_of_evaluations(std::int64_t first, std::int64_t last, const std::vector<std::int64_t>& evaluations,
                                    std::int64_t every = 4) {
  return problems_of({first, last, {}, evaluations, 0, every});
}

// A killed job has lost the rows that waited for their chunk, and no timeline but that of the last row.
TEST(VerifyDues, TimelinesAreOfTheStepsThatAreDue) {
  EXPECT_EQ(problems_of_timelines(6, 12, {8, 12}), "");
  EXPECT_EQ(problems_of_timelines(6, 12, {8}), "");
  EXPECT_EQ(problems_of_timelines(6, 12, {8, 12, 16}), "");
  EXPECT_EQ(problems_of_timelines(5, 7, {}), "");
  EXPECT_EQ(problems_of_timelines(1, 12, {}, 0), "");
  EXPECT_NE(problems_of_timelines(5, 12, {4, 8}).find("timeline 0: it is of step 4, not of 8"), std::string::npos);
  EXPECT_NE(problems_of_timelines(6, 13, {8}).find("1 timelines, but its rows have at least 2"), std::string::npos);
  EXPECT_NE(problems_of_timelines(1, 12, {4}, 0).find("timeline 0: it is of step 4, not of 0"), std::string::npos);
}

TEST(VerifyDues, EvaluationsAreOfTheStepsThatAreDue) {
  for (const std::vector<std::int64_t>& steps : {std::vector<std::int64_t>{8, 12}, {8}, {8, 12, 16}})
    EXPECT_EQ(problems_of_evaluations(6, 12, steps), "");
  EXPECT_EQ(problems_of_evaluations(1, 12, {}, 0), "");
  EXPECT_NE(problems_of_evaluations(6, 13, {8}).find("1 evaluations, but its rows have at least 2"), std::string::npos);
  EXPECT_NE(problems_of_evaluations(6, 13, {}).find("0 evaluations, but its rows have at least 2"), std::string::npos);
  EXPECT_NE(problems_of_evaluations(5, 12, {7, 8}).find("evaluation 0: it is of step 7, not of 8"), std::string::npos);
}

}  // namespace
