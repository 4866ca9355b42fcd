#include "sweep/results.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

#include "base/failure.hpp"
#include "base/files.hpp"
#include "base/json.hpp"
#include "config/estimate.hpp"
#include "config/moe_layers.hpp"
#include "config/options.hpp"
#include "config/values.hpp"
#include "config/yaml.hpp"
#include "record/kept_config.hpp"
#include "record/record_file.hpp"
#include "record/run_file.hpp"
#include "record/segments.hpp"
#include "sweep/state.hpp"

namespace switchyard::sweep {
namespace {

using record::FileKind;
using record::RecordReader;
using record::Span;

using Segments = std::vector<record::Segment>;

constexpr std::int64_t blocks = record::EvaluationRow::blocks;

/// Columns of the table, by the names of the schema.
struct Columns {
  std::map<std::string, std::vector<std::int32_t>> i32;
  std::map<std::string, std::vector<std::int64_t>> i64;
  std::map<std::string, std::vector<double>> f64;
  std::map<std::string, std::vector<std::uint8_t>> u8;
  std::map<std::string, std::string> text16, text32;
  std::int64_t rows = 0;
};

void add_text(std::string& column, const std::string& text, std::size_t bytes) {
  column += (text + std::string(bytes, '\0')).substr(0, bytes);
}

/// The options of the schema's option_variables.
void add_options(Columns& to, const Config& config) {
  std::set<std::string> wanted;
  for (const record::Variable& v : record::option_variables()) wanted.insert(v.name);
  visit_values(config, [&]<class T>(const std::string& key, const T& value) {
    if (!wanted.contains(key)) return;
    if constexpr (std::is_enum_v<T>)
      add_text(to.text32[key], format_value(value), 32);
    else if constexpr (std::is_same_v<T, bool>)
      to.u8[key].push_back(value);
    else if constexpr (std::is_floating_point_v<T>)
      to.f64[key].push_back(value);
    else if constexpr (std::is_integral_v<T>)
      to.i64[key].push_back(static_cast<std::int64_t>(value));
  });
}

/// What all rows of a task share.
void add_task(Columns& to, const Task& task, std::int32_t index, const Config& c) {
  to.i32["task"].push_back(index);
  to.i32["num_experts"].push_back(c.moe.experts);
  to.i32["k"].push_back(c.moe.top_k);
  to.i32["granularity"].push_back(task.granularity);
  to.i32["d_model"].push_back(c.model.width);
  to.i32["num_blocks"].push_back(c.model.blocks);
  to.i32["num_heads"].push_back(c.model.heads);
  to.i64["seed"].push_back(static_cast<std::int64_t>(task.seed));
  to.f64["routing_frequency"].push_back(double(moe_layers(c).size()) / c.model.blocks);
  to.f64["total_parameter_count"].push_back(double(model_size(c).total()));
  to.f64["dense_parameter_count"].push_back(double(dense_parameters(c)));
  to.f64["flops_per_step"].push_back(flop_per_token(c) * double(c.step_tokens()));
  add_text(to.text16["arm"], task.arm, 16);
  add_text(to.text32["branch"], task.branch(), 32);
  add_text(to.text16["router_type"], format_value(c.moe.router), 16);
  add_options(to, c);
}

void check_whole(bool whole, const RecordReader& file) {
  check(whole, Exit::corrupt, file.path() + " is damaged (its rows do not fit each other); see switchyard verify");
}

/// The last step that the rows hold, which must be all after `begin` to the last of a finished run.
std::int64_t last_step(const std::vector<Span>& spans, std::int64_t begin, std::int64_t last) {
  std::int64_t done = begin;
  for (const Span& span : spans)
    for (const std::int64_t step : span.file->read<std::int64_t>("step", span.first, span.count)) {
      check(step == done + 1, Exit::corrupt,
            span.file->path() + ": the row of step " + std::to_string(done + 1) + " is missing; see switchyard verify");
      ++done;
    }
  check(done >= last, Exit::corrupt,
        "the row of step " + std::to_string(done + 1) + " is missing; see switchyard verify");
  return done;
}

/// A variable of the rows that hold, a row's values averaged; nothing where a segment lacks it.
template <class T = double>
std::vector<double> row_means(const std::vector<Span>& spans, const char* name) {
  std::vector<double> means;
  for (const Span& span : spans) {
    if (!span.file->has(name)) return {};
    const auto values = span.file->read<T>(name, span.first, span.count);
    const std::size_t width = values.size() / static_cast<std::size_t>(span.count);
    check_whole(width > 0 && values.size() % width == 0, *span.file);
    for (auto row = values.begin(); row != values.end(); row += static_cast<std::ptrdiff_t>(width))
      means.push_back(std::accumulate(row, row + static_cast<std::ptrdiff_t>(width), 0.0) / double(width));
  }
  return means;
}

/// Mean over rows (from, to], counted from 1, NaN where there are none.
double mean_of_steps(const std::vector<double>& rows, std::int64_t from, std::int64_t to) {
  if (rows.empty() || to <= from) return std::nan("");
  return std::accumulate(rows.begin() + from, rows.begin() + to, 0.0) / double(to - from);
}

double median_of_steps(const std::vector<double>& rows, std::int64_t from, std::int64_t to) {
  if (rows.empty() || to <= from) return std::nan("");
  std::vector<double> part(rows.begin() + from, rows.begin() + to);
  std::sort(part.begin(), part.end());
  return 0.5 * (part[(part.size() - 1) / 2] + part[part.size() / 2]);
}

void add_run(Columns& to, const Sweep& sweep, std::size_t index, const Config& config, const Segments& segments) {
  const Task& task = sweep.tasks[index];
  std::vector<const RecordReader*> rows;
  for (const auto& segment : segments)
    if (segment.run) rows.push_back(segment.run.get());
  const std::vector<Span> steps = record::latest_rows(rows, "step");
  const std::int64_t begin = task.from, done = last_step(steps, begin, config_of(sweep, task).train.steps);
  std::map<std::string, std::vector<double>> means;
  for (const char* name : {"loss_cross_entropy", "max_vio", "max_vio_floor", "drop_share"})
    means[name] = row_means(steps, name);
  const std::vector<double> durations = row_means(steps, "wall_seconds"),
                            peaks = row_means<std::int64_t>(steps, "peak_bytes");
  std::int64_t before = begin;  // of rows, which begin at step begin + 1
  for (const Span& span : record::latest_rows(rows, "evaluation_step")) {
    const auto at = span.file->read<std::int64_t>("evaluation_step", span.first, span.count);
    const auto loss = span.file->read<double>("evaluation_loss", span.first, span.count);
    const auto bits = span.file->read<double>("evaluation_bits_per_byte", span.first, span.count);
    const auto parts = span.file->has("evaluation_block_loss")
                           ? span.file->read<double>("evaluation_block_loss", span.first, span.count)
                           : std::vector<double>(static_cast<std::size_t>(span.count * blocks), std::nan(""));
    const auto count = static_cast<std::size_t>(span.count);
    check_whole(at.size() == count && loss.size() == count && bits.size() == count && parts.size() == count * blocks,
                *span.file);
    to.f64["block_loss"].insert(to.f64["block_loss"].end(), parts.begin(), parts.end());
    for (std::size_t i = 0; i < at.size(); ++i) {
      check_whole(before < at[i] && at[i] <= done, *span.file);
      add_task(to, task, static_cast<std::int32_t>(index), config);
      to.i64["step"].push_back(at[i]);
      to.i64["tokens"].push_back(at[i] * config.step_tokens());
      to.f64["loss_validation"].push_back(loss[i]);
      to.f64["bits_per_byte"].push_back(bits[i]);
      const std::int64_t from = before - begin, to_row = at[i] - begin;
      to.f64["loss_train"].push_back(mean_of_steps(means["loss_cross_entropy"], from, to_row));
      for (const char* name : {"max_vio", "max_vio_floor", "drop_share"})
        to.f64[name].push_back(mean_of_steps(means[name], from, to_row));
      to.f64["seconds_per_step"].push_back(median_of_steps(durations, from, to_row));
      to.f64["peak_bytes"].push_back(mean_of_steps(peaks, std::max<std::int64_t>(to_row - 1, 0), to_row));
      before = at[i];
      ++to.rows;
    }
  }
}

/// Where the rows of a task come from, for `yardstick trace`.
nlohmann::ordered_json origin_of(const std::string& name, const Segments& segments) {
  nlohmann::ordered_json origin{{"run", name}};
  for (const auto& segment : segments)
    if (segment.run) {  // the first one that is left: later ones went on from it
      const hdf5::File& file = segment.run->file();
      const auto text = [&](const char* key) { return hdf5::text_attribute(file.id(), key, file.path()); };
      const auto provenance = parse_json(text("provenance"), file.path(), "", [](const nlohmann::json& json) {
        return std::tuple(json.at("command").get<std::vector<std::string>>(), json.at("processor"), json.at("backend"));
      });
      origin["id"] = text("config_sha256").substr(0, 12);
      origin["commit"] = text("commit");
      origin["command"] = join(std::get<0>(provenance), " ");
      origin["processor"] = std::get<1>(provenance);
      origin["backend"] = std::get<2>(provenance);
      break;
    }
  return origin;
}

std::vector<record::Column> columns_of(const Columns& columns) {
  std::vector<record::Column> all;
  for (const auto& [name, values] : columns.i32) all.push_back({name.c_str(), values.data()});
  for (const auto& [name, values] : columns.i64) all.push_back({name.c_str(), values.data()});
  for (const auto& [name, values] : columns.f64) all.push_back({name.c_str(), values.data()});
  for (const auto& [name, values] : columns.u8) all.push_back({name.c_str(), values.data()});
  for (const auto* texts : {&columns.text16, &columns.text32})
    for (const auto& [name, values] : *texts) all.push_back({name.c_str(), values.data()});
  return all;
}

/// Puts the rows of one after those of the other.
void append(Columns& to, const Columns& more) {
  const auto add = [](auto& into, const auto& from) {
    for (const auto& [name, values] : from) into[name].insert(into[name].end(), values.begin(), values.end());
  };
  add(to.i32, more.i32), add(to.i64, more.i64), add(to.f64, more.f64), add(to.u8, more.u8);
  add(to.text16, more.text16), add(to.text32, more.text32);
  to.rows += more.rows;
}

/// Aside and renamed, so that nobody reads a part and two that write at once do not mix.
void write_table(const std::string& path, const Columns& columns, const std::string& tasks, const std::string& runs) {
  const std::string aside = files::aside_name(path);
  try {
    record::RecordFile file(FileKind::results, aside, {{"row", columns.rows}, {"block", blocks}});
    file.attribute("tasks", tasks);
    file.attribute("runs", runs);
    file.append("row", columns.rows, columns_of(columns));
    file.publish();
    file.close();
    if (std::rename(aside.c_str(), path.c_str()) != 0) files::throw_system_error(errno, "rename to", path);
  } catch (const Error&) {
    for (const std::string& left : {aside, aside + ".part"}) std::remove(left.c_str());
    throw;
  }
  files::sync_folder_of(path);
}

}  // namespace

Results write_results(const std::string& folder, const Sweep& sweep) {
  Results results;
  Columns columns;
  nlohmann::ordered_json tasks = nlohmann::ordered_json::array(), runs = tasks;
  for (std::size_t i = 0; i < sweep.tasks.size(); ++i) {
    const Task& task = sweep.tasks[i];
    const std::string name = "tasks/" + task.name, run = run_folder(folder, task);
    tasks.push_back(name);
    try {
      if (!is_finished(folder, sweep, task)) continue;
      const LoadResult loaded =
          load_text(run + "/config.yaml", record::read_config(run));  // resolved: with the vocabulary of the corpus
      throw_errors(loaded);
      const Segments segments = record::open_segments(run);
      Columns mine;
      add_run(mine, sweep, i, loaded.config, segments);
      auto origin = origin_of(name, segments);
      append(columns, mine);
      runs.push_back(std::move(origin));
    } catch (const std::exception& e) {
      const Error error = as_error(e);
      if (error.code() == Exit::memory) throw;
      results.left_out.emplace_back(error.code(), "results.h5 leaves out " + name + ": " + error.what());
    }
  }
  results.rows = columns.rows;
  if (columns.rows > 0) write_table(folder + "/results.h5", columns, tasks.dump(), runs.dump());
  return results;
}

}  // namespace switchyard::sweep
