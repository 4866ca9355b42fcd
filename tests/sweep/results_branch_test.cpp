// results.h5 of a sweep with branches.
#include "results_table.hpp"

namespace {

using namespace fixtures;

// Rows of a branch begin after the step at which it left its trunk, and so does what is averaged.
TEST_F(ResultsTable, ABranchBeginsWhereItLeft) {
  make("experts: [2]\nbranches: {steps: [12], decay_share: 0.5}\n");
  ASSERT_EQ(sweep_.tasks.at(1).from, 6);
  write_run(1, {{7, 12, 0.0}});
  EXPECT_EQ(write_results(folder_, sweep_).rows, 2);
  const record::RecordReader table(results());
  std::map<std::int64_t, StepRow> rows;
  for (std::int64_t s = 7; s <= 12; ++s) rows[s] = step_of(config(1), s, 0.0);
  for (std::int64_t row = 0; row < 2; ++row) {
    const std::int64_t at = 9 + 3 * row;
    EXPECT_EQ(text(table, "branch", row), "s12");
    EXPECT_EQ(number(table, "step", row), double(at));
    EXPECT_EQ(number(table, "tokens", row), double(32 * at));
    EXPECT_NEAR(number(table, "loss_train", row),
                mean(rows, at - 3, at, [](const StepRow& r) { return r.loss.cross_entropy; }), 1e-12);
    EXPECT_EQ(number(table, "seconds_per_step", row), median(rows, at - 3, at));
    EXPECT_EQ(number(table, "peak_bytes", row), double(rows.at(at).peak_bytes));
  }
}

}  // namespace
