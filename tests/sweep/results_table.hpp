// Made-up runs of a sweep with a results table, and its values read back.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "record/record_reader.hpp"
#include "record/run_fixture.hpp"
#include "support/folder.hpp"
#include "sweep/results.hpp"

namespace fixtures {

using namespace switchyard;
using namespace switchyard::sweep;
using record::EvaluationRow;
using record::StepRow;

/// Steps [first, last] of a segment; salt makes them others than those of another attempt.
struct Part {
  std::int64_t first, last;
  double salt;
};

inline StepRow step_of(const Config& config, std::int64_t step, double salt) {
  StepRow row = fixtures::row_of(config, step, 1);
  row.loss.cross_entropy += salt;
  row.wall_seconds = 0.1 * static_cast<double>(step * 5 % 7) + salt;
  row.peak_bytes = 1000 * step + static_cast<std::int64_t>(16 * salt);
  return row;
}

inline EvaluationRow evaluation_of(std::int64_t step, double salt) {
  EvaluationRow row{step, 1.5 / static_cast<double>(step) + salt, step == 6 ? std::nan("") : 2.0 + salt};
  for (std::size_t b = 0; b < row.block_loss.size(); ++b) row.block_loss[b] = row.loss + 0.01 * static_cast<double>(b);
  return row;
}

class ResultsTable : public testing::Test {
 protected:
  ResultsTable() {
    put("base.yaml",
        "model: {vocabulary: 40, width: 16, blocks: 4, heads: 2, context: 8, hidden: 32}\n"
        "moe: {top_k: 1, hidden: 16, every: 2}\n"
        "train: {steps: 12, batch: 4, grains: 4, warmup: 0, evaluate_every: 3, checkpoint_every: 6}\n"
        "record: {flush_every: 3, sample_every: 0, timeline_every: 0}\n");
    make(
        "experts: [2, 4]\ngranularity: [1, 2]\nseeds: [7, 9223372036854775807]\n"
        "arms: {first: , sixteen-letters-: [moe.router=sigmoid, train.evaluate_every=2]}\n");
  }
  void put(const std::string& name, const std::string& text) const { std::ofstream(root_ / name) << text; }
  void make(const std::string& axes) {
    put("s.yaml", "configuration: base.yaml\n" + axes);
    sweep_ = read_sweep(root_ / "s.yaml", {});
  }
  Config config(std::size_t i) const { return config_of(sweep_, sweep_.tasks.at(i)); }
  std::string run_of(std::size_t i) const { return run_folder(folder_, sweep_.tasks.at(i)); }
  /// A run with these segments and a checkpoint at `step`.
  void write_run(std::size_t i, const std::vector<Part>& parts, std::int64_t step = 12,
                 const std::string& provenance = R"({"command": ["train", "x"], "processor": "P", "backend": "B"})") {
    record::RunFolder run(run_of(i));
    const Config c = config(i);
    const std::string text = dump(c, {}) + record::config_end;
    run.write("config.yaml", text);
    for (const Part& part : parts) {
      record::RunFile file(run.start_segment() + "/run.h5", c, 1, text, provenance, part.first - 1);
      for (std::int64_t s = part.first; s <= part.last; ++s) {
        file.append(step_of(c, s, part.salt));
        if (s % c.train.evaluate_every == 0) file.append(evaluation_of(s, part.salt));
      }
      file.close();
    }
    fixtures::write_checkpoint(run_of(i), fixtures::small_config(), step);
  }
  std::string results() const { return folder_ + "/results.h5"; }

  const test::Folder root_;
  const std::string folder_ = root_ / "kept";
  Sweep sweep_;
};

/// Mean over steps (from, to] of what `of` takes from a row.
template <class Of>
double mean(const std::map<std::int64_t, StepRow>& rows, std::int64_t from, std::int64_t to, Of of) {
  long double sum = 0.0;
  for (std::int64_t s = from + 1; s <= to; ++s) sum += of(rows.at(s));
  return static_cast<double>(sum / static_cast<long double>(to - from));
}

/// The median by its definition: between the two in the middle of an even number.
inline double median(const std::map<std::int64_t, StepRow>& rows, std::int64_t from, std::int64_t to) {
  std::vector<double> seconds;
  for (std::int64_t s = from + 1; s <= to; ++s) seconds.push_back(rows.at(s).wall_seconds);
  std::sort(seconds.begin(), seconds.end());
  const std::size_t n = seconds.size();
  return 0.5 * (seconds[(n - 1) / 2] + seconds[n / 2]);
}

inline double number(const record::RecordReader& table, const std::string& name, std::int64_t row) {
  for (const record::Variable& v : record::variables_of(record::FileKind::results))
    if (name == v.name)
      return v.type == hdf5::Type::i32   ? table.read<std::int32_t>(name, row, 1)[0]
             : v.type == hdf5::Type::i64 ? double(table.read<std::int64_t>(name, row, 1)[0])
                                         : table.read<double>(name, row, 1)[0];
  throw std::runtime_error(name + " is not in the schema");
}

inline std::string text(const record::RecordReader& table, const std::string& name, std::int64_t row) {
  const auto bytes = table.read<char>(name, row, 1);
  const std::string all(bytes.begin(), bytes.end());
  return all.substr(0, all.find('\0'));
}

}  // namespace fixtures
