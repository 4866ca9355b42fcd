// results.h5 from made-up runs: every column against a plain recomputation from the rows that the runs were made of,
// whatever segments they were cut into, and what becomes of runs that cannot be read.
#include "sweep/results.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "moe/statistics.hpp"
#include "record/edit.hpp"
#include "results_table.hpp"
#include "support/child.hpp"
#include "support/refusal.hpp"
#include "sweep/state.hpp"

namespace {

using namespace fixtures;
namespace fs = std::filesystem;

/// Mean over the layers of a row.
template <class Of>
double over_layers(const StepRow& row, Of of) {
  double sum = 0.0;
  for (const auto& layer : row.layers) sum += of(layer) / static_cast<double>(row.layers.size());
  return sum;
}

double max_vio_of(const moe::LayerStatistics& layer) {
  double most = 0.0, all = 0.0;
  for (const auto n : layer.assigned) most = std::max(most, double(n)), all += double(n);
  return most / (all / double(layer.experts)) - 1.0;
}

double dropped_of(const moe::LayerStatistics& layer) {
  double kept = 0.0, all = 0.0;
  for (const auto n : layer.kept) kept += double(n);
  for (const auto n : layer.assigned) all += double(n);
  return 1.0 - kept / all;
}

/// What a row of the table must hold, by the schema's words; parameters are counted by hand: vocabulary 40, width 16,
/// blocks 0 and 2 dense, 1 and 3 with experts of hidden width 16 / granularity.
std::map<std::string, double> expected(const Config& c, const Task& task, const std::map<std::int64_t, StepRow>& rows,
                                       std::int64_t before, std::int64_t at, double salt) {
  const double experts = task.experts * task.granularity, hidden = 16.0 / task.granularity;
  const double dense = 4 * 4 * 16 * 16 + 2 * 2 * 16 * 32 + 2 * 2 * 16 * 16, routers = 2 * 16 * experts;
  const auto in = [&](auto of) { return mean(rows, before, at, of); };
  return {{"num_experts", experts},
          {"k", task.granularity},
          {"granularity", task.granularity},
          {"d_model", 16},
          {"num_blocks", 4},
          {"num_heads", 2},
          {"routing_frequency", 0.5},
          {"total_parameter_count",
           40 * 16 + 4 * (2 * 16 + 4 * 16 * 16) + 2 * 2 * 16 * 32 + routers + 2 * experts * 2 * 16 * hidden + 16},
          {"dense_parameter_count", dense},
          {"flops_per_step", 32 * 3.0 * (2 * (dense + routers + 40 * 16) + 4 * 2 * 8 * 16)},
          {"tokens", double(at * 32)},
          {"loss_validation", evaluation_of(at, salt).loss},
          {"bits_per_byte", evaluation_of(at, salt).bits_per_byte},
          {"loss_train", in([](const StepRow& r) { return r.loss.cross_entropy; })},
          {"max_vio", in([](const StepRow& r) { return over_layers(r, max_vio_of); })},
          {"max_vio_floor", moe::max_vio_floor(32, c.moe.top_k, c.moe.experts)},
          {"drop_share", in([](const StepRow& r) { return over_layers(r, dropped_of); })},
          {"seconds_per_step", median(rows, before, at)},
          {"peak_bytes", double(rows.at(at).peak_bytes)}};
}

// Segments that a kill ended are superseded by those that went on from a checkpoint; the table must not see it.
TEST_F(ResultsTable, EveryColumnIsWhatTheRunsSay) {
  const std::map<std::size_t, std::vector<Part>> runs{{0, {{1, 12, 0.0}}},
                                                      {5, {{1, 9, 0.5}, {4, 6, 0.25}, {7, 12, 0.125}}},
                                                      {10, {{1, 12, 1.0}}},
                                                      {15, {{1, 3, 0.5}, {1, 9, 0.25}, {7, 12, 0.125}}}};
  for (const auto& [i, parts] : runs) write_run(i, parts);
  write_run(3, {{1, 9, 0.0}}, 9);  // not finished
  const sweep::Results made = write_results(folder_, sweep_);
  for (const Error& e : made.left_out) ADD_FAILURE() << e.what();
  const record::RecordReader table(results());
  std::int64_t row = 0;
  for (const auto& [i, parts] : runs) {
    const Config c = config(i);
    const Task& task = sweep_.tasks[i];
    std::map<std::int64_t, StepRow> rows;
    std::map<std::int64_t, double> salts;
    for (const Part& part : parts)
      for (std::int64_t s = part.first; s <= part.last; ++s) rows[s] = step_of(c, s, part.salt), salts[s] = part.salt;
    for (std::int64_t at = c.train.evaluate_every; at <= 12; at += c.train.evaluate_every, ++row) {
      SCOPED_TRACE(task.name + " at step " + std::to_string(at));
      EXPECT_EQ(number(table, "task", row), double(i));
      EXPECT_EQ(number(table, "step", row), double(at));
      EXPECT_EQ(table.read<std::int64_t>("seed", row, 1)[0], static_cast<std::int64_t>(task.seed));
      EXPECT_EQ(text(table, "arm", row), task.arm);
      EXPECT_EQ(text(table, "router_type", row), task.arm == "first" ? "softmax" : "sigmoid");
      EXPECT_EQ(text(table, "branch", row), "");
      EXPECT_EQ(text(table, "moe.router", row), task.arm == "first" ? "softmax" : "sigmoid");
      EXPECT_EQ(text(table, "moe.importance_form", row), "cv2");
      EXPECT_EQ(number(table, "train.evaluate_every", row), task.arm == "first" ? 3 : 2);
      EXPECT_EQ(number(table, "train.steps", row), 12);
      EXPECT_EQ(number(table, "train.learning_rate", row), 1e-3);
      EXPECT_EQ(table.read<std::uint8_t>("model.tied", row, 1)[0], 1);
      EXPECT_FALSE(table.has("layout.threads") || table.has("data.path") || table.has("moe.experts_per_block"));
      for (const auto& [name, value] : expected(c, task, rows, at - c.train.evaluate_every, at, salts[at])) {
        const double found = number(table, name, row);
        EXPECT_TRUE(std::isnan(value) ? std::isnan(found) : std::abs(found - value) <= 1e-12 * std::abs(value) + 1e-15)
            << name << " is " << found << ", not " << value;
      }
      EXPECT_EQ(table.read<double>("block_loss", row, 1), evaluation_of(at, salts[at]).block_loss);
    }
  }
  EXPECT_EQ(made.rows, row);
  EXPECT_EQ(table.length("row"), row);
  const auto attribute = [&](const char* name) {
    return nlohmann::json::parse(hdf5::text_attribute(table.file().id(), name, results()));
  };
  ASSERT_EQ(attribute("tasks").size(), 16u);
  EXPECT_EQ(attribute("tasks")[3], "tasks/" + sweep_.tasks[3].name);
  ASSERT_EQ(attribute("runs").size(), 4u);
  const nlohmann::json origin = attribute("runs")[1];
  EXPECT_EQ(origin["run"], "tasks/" + sweep_.tasks[5].name);
  EXPECT_EQ(origin["id"], files::sha256_of_file(run_of(5) + "/config.yaml").substr(0, 12));
  EXPECT_EQ(origin["command"], "train x");
  EXPECT_EQ(origin["processor"], "P");
  EXPECT_EQ(origin["backend"], "B");
}

TEST_F(ResultsTable, ADenseModelHasNoLoads) {
  make("experts: [2]\nset: [\"moe.experts_per_block=[0, 0, 0, 0]\"]\n");
  write_run(0, {{1, 12, 0.0}});
  EXPECT_EQ(write_results(folder_, sweep_).rows, 4);
  const record::RecordReader table(results());
  for (const char* name : {"max_vio", "max_vio_floor", "drop_share"}) EXPECT_TRUE(std::isnan(number(table, name, 3)));
  EXPECT_EQ(number(table, "routing_frequency", 3), 0.0);
}

// Of a finished task nothing is made up and nothing left out without a word; the others stand.
TEST_F(ResultsTable, AFinishedTaskThatCannotBeReadIsLeftOut) {
  const auto first_file = [this] { return run_of(0) + "/segments/000/run.h5"; };
  const struct {
    const char* name;
    std::vector<Part> parts;
    std::function<void()> damage;
    std::string says;
  } rows[] = {
      {"a hole", {{1, 3, 0.0}, {7, 12, 0.0}}, [] {}, "the row of step 4 is missing"},
      {"no beginning", {{4, 12, 0.0}}, [] {}, "the row of step 1 is missing"},
      {"no end", {{1, 9, 0.0}}, [] {}, "the row of step 10 is missing"},
      {"no records", {{1, 12, 0.0}}, [&] { fs::remove(first_file()); }, "the row of step 1 is missing"},
      {"an evaluation beyond the rows",
       {{1, 12, 0.0}},
       [&] { fixtures::Editor(first_file()).set("evaluation_step", 3, std::int64_t{15}); },
       "its rows do not fit each other"},
      {"no configuration", {{1, 12, 0.0}}, [&] { fs::remove(run_of(0) + "/config.yaml"); }, "config.yaml is missing"},
      {"a file that is cut", {{1, 12, 0.0}}, [&] { fs::resize_file(first_file(), 3000); }, "run.h5"},
  };
  write_run(1, {{1, 12, 0.0}});
  for (const auto& row : rows) {
    SCOPED_TRACE(row.name);
    fs::remove_all(run_of(0));
    write_run(0, row.parts);
    row.damage();
    const sweep::Results made = write_results(folder_, sweep_);
    EXPECT_EQ(made.rows, 6);
    EXPECT_EQ(record::RecordReader(results()).length("row"), 6);
    ASSERT_EQ(made.left_out.size(), 1u);
    const std::string text = made.left_out[0].what();
    EXPECT_EQ(made.left_out[0].code(), Exit::corrupt);
    EXPECT_TRUE(text.starts_with("results.h5 leaves out tasks/" + sweep_.tasks[0].name + ": ")) << text;
    EXPECT_NE(text.find(row.says), std::string::npos) << text;
  }
  fs::remove_all(run_of(0));
  write_run(0, {{1, 12, 0.0}}, 12, "{}");  // nothing tells where it comes from
  EXPECT_EQ(write_results(folder_, sweep_).left_out.size(), 1u);
}

TEST_F(ResultsTable, NothingIsWrittenOrAllOfIt) {
  EXPECT_EQ(write_results(folder_, sweep_).rows, 0);
  EXPECT_FALSE(fs::exists(folder_));
  write_run(0, {{1, 12, 0.0}});
  fs::create_directory(results());
  const std::string refused = test::refusal([&] { write_results(folder_, sweep_); });
  EXPECT_TRUE(refused.starts_with("2 cannot rename to " + results())) << refused;
  fs::remove(results());
  write_results(folder_, sweep_);
  const std::string before = files::sha256_of_file(results());
  const auto full = [&] {
    test::limit_files(4096);
    return static_cast<int>(test::code_of([&] { write_results(folder_, sweep_); }));
  };
  EXPECT_EQ(test::in_child(full), static_cast<int>(Exit::storage));
  EXPECT_EQ(files::sha256_of_file(results()), before);
  for (const auto& entry : fs::directory_iterator(folder_))
    EXPECT_TRUE(entry.path() == results() || entry.path() == folder_ + "/tasks") << entry.path();
}

}  // namespace
