#include "plan/machine_description.hpp"

#include <cmath>
#include <cstdio>
#include <functional>
#include <utility>

#include "base/check.hpp"
#include "config/values.hpp"

namespace switchyard::plan {
namespace {

/// Where x stands between two neighbours of an axis: index of the lower one, and the share of the upper one.
std::pair<std::size_t, double> place_on(const std::vector<std::int64_t>& axis, double x) {
  if (x <= double(axis.front()) || axis.size() == 1) return {0, 0.0};
  if (x >= double(axis.back())) return {axis.size() - 2, 1.0};
  std::size_t i = 0;
  while (double(axis[i + 1]) < x) ++i;
  return {i, std::log(x / double(axis[i])) / std::log(double(axis[i + 1]) / double(axis[i]))};
}

std::string bracketed(const std::vector<std::string>& parts) {
  std::string text = "[";
  return text.append(join(parts)).append("]");
}

/// Six digits are more than a measurement has.
std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

std::string list_text(const std::vector<double>& values) {
  std::vector<std::string> parts;
  for (const double v : values) parts.push_back(number_text(v));
  return bracketed(parts);
}

std::string list_text(const std::vector<std::int64_t>& values) {
  std::vector<std::string> parts;
  for (const std::int64_t v : values) parts.push_back(format_value(v));
  return bracketed(parts);
}

std::string way_text(const char* name, const std::optional<Way>& way) {
  if (!way) return "";
  return std::string(name) + ":\n  transport: " + (way->by_window ? "window" : "mpi") +
         "\n  latency_us: " + number_text(way->latency * 1e6) +
         "\n  gbit_per_s: " + number_text(way->bytes_per_s * 8e-9) +
         "\n  collective_us: " + number_text(way->collective * 1e6) +
         "\n  buffer_kib: " + number_text(way->buffer / 1024.0) + "\n  poll_us: " + number_text(way->poll * 1e6) + "\n";
}

}  // namespace

const std::string& name_of(Product product) {
  static const std::array<std::string, 3> names{"forward", "input_gradient", "weight_gradient"};
  return names.at(static_cast<std::size_t>(product));
}

const std::vector<schedule::Stage>& timed_stages() {
  using schedule::Stage;
  static const std::vector<Stage> stages{
      Stage::embedding,      Stage::attention,       Stage::feed_forward, Stage::router,         Stage::plan,
      Stage::dispatch,       Stage::dispatch_finish, Stage::experts,      Stage::expert_weights, Stage::combine,
      Stage::combine_finish, Stage::shared,          Stage::head,         Stage::norm,           Stage::optimizer};
  return stages;
}

double ProductRates::flop_per_s(Product product, double of_rows, double of_inner, double of_columns) const {
  const std::vector<double>& grid = gflops.at(static_cast<std::size_t>(product));
  const std::array<std::pair<std::size_t, double>, 3> at{place_on(rows, of_rows), place_on(inner, of_inner),
                                                         place_on(columns, of_columns)};
  double seconds = 0.0;  // of 1e9 FLOP
  for (int corner = 0; corner < 8; ++corner) {
    std::array<std::size_t, 3> index{};
    double share = 1.0;
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const bool upper = (corner >> axis & 1) != 0;
      index[axis] = at[axis].first + (upper ? 1 : 0);
      share *= upper ? at[axis].second : 1.0 - at[axis].second;
    }
    if (share > 0.0) seconds += share / grid[(index[0] * inner.size() + index[1]) * columns.size() + index[2]];
  }
  return 1e9 / seconds;
}

std::string to_yaml(const MachineDescription& m) {
  std::string text =
      "# A machine as `switchyard bench machine` measured it, for `switchyard plan --machine`; docs/planning.md says "
      "how.\nformat: switchyard-machine-2\n";
  for (const auto& [key, value] : {std::pair("commit", m.commit), std::pair("host", m.host), std::pair("date", m.date),
                                   std::pair("products_by", m.products_by), std::pair("reference", m.reference)})
    text += std::string(key) + ": \"" + value + "\"\n";
  for (const auto& [key, value] : {std::pair("ranks", m.ranks), std::pair("nodes", m.nodes),
                                   std::pair("threads", m.threads), std::pair("repetitions", m.repetitions)})
    text += std::string(key) + ": " + format_value(value) + "\n";
  text += "memory_gib: " + number_text(m.memory / 1073741824.0) + "  # of one node\n";
  text +=
      "# One rank while all multiply, 1e9 FLOP/s: of each number of rows of a segment, K and N, the last fastest.\n";
  text += "products:\n  rows: " + list_text(m.products.rows) + "\n  inner: " + list_text(m.products.inner) +
          "\n  columns: " + list_text(m.products.columns) + "\n";
  for (int p = 0; p < static_cast<int>(Product::count); ++p)
    text += "  " + name_of(static_cast<Product>(p)) + ": " + list_text(m.products.gflops[p]) + "\n";
  text += "# Beside its products, ps of an element that a stage reads or writes: [forward, backward].\nstages:\n";
  for (const schedule::Stage stage : timed_stages()) {
    const StageRates& rates = m.stages[static_cast<std::size_t>(stage)];
    text += "  " + schedule::name_of(stage) + ": " +
            list_text(std::vector{rates.forward * 1e12, rates.backward * 1e12}) + "\n";
  }
  text += "# Rows between ranks of one node (near), and between nodes (far).\n";
  return text + way_text("near", m.near) + way_text("near_by_mpi", m.near_by_mpi) + way_text("far", m.far);
}

}  // namespace switchyard::plan
