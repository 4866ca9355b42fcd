// Bytes a row of run.h5, time to append it and time to verify the file. Rows are made up, a pool of them used in turn:
// loads as of random choices, prob_mass as of sums of single-precision scores, biases that walk.
// Run: record FOLDER [rows [experts [layers [flush_every]]]]
#include <hdf5.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "config/yaml.hpp"
#include "record/run_file.hpp"
#include "record/schema.hpp"
#include "record/verify.hpp"

namespace {

using namespace switchyard;
using Clock = std::chrono::steady_clock;

constexpr int pool_rows = 16;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Config config_of(int experts, int layers, std::int64_t flush_every) {
  Config config;
  config.model.vocabulary = 1000, config.model.blocks = layers, config.model.context = 1024;
  config.moe.experts = experts, config.moe.top_k = std::min(8, experts), config.moe.every = 1;
  config.train.batch = 32, config.train.grains = 32;
  config.record.flush_every = flush_every, config.record.sample_every = 0;
  return config;
}

moe::LayerStatistics layer_of(const Config& config, int block, std::mt19937& random) {
  const int experts = config.moe.experts;
  const std::int64_t choices = config.step_tokens() * config.moe.top_k;
  const double mean = double(choices) / experts, tokens = double(config.step_tokens());
  std::normal_distribution<double> load(mean, 2.0 * std::sqrt(mean));
  std::uniform_real_distribution<float> score(0.0f, float(2.0 * tokens / experts / 256.0));
  moe::LayerStatistics layer;
  layer.block = block, layer.experts = experts, layer.entropy = 1.0;
  std::int64_t left = choices;
  for (int e = 0; e < experts; ++e) {
    const std::int64_t n = e + 1 < experts ? std::clamp<std::int64_t>(std::llround(load(random)), 0, left) : left;
    left -= n;
    layer.assigned.push_back(n);
    double mass = 0.0;
    for (int i = 0; i < 256; ++i) mass += score(random);
    layer.prob_mass.push_back(std::min(mass, tokens));
    layer.bias.push_back(0.001f * float(static_cast<int>(random() % 101) - 50));
  }
  layer.kept = layer.assigned;
  layer.margin.assign(static_cast<std::size_t>(config.record.margin_bins), 0);
  layer.margin[0] = config.step_tokens();
  return layer;
}

record::StepRow row_of(const Config& config, std::mt19937& random) {
  record::StepRow row;
  row.loss = {3.0 + 1e-9 * double(random()), 0.1, 0.01, 0.0, 0.001};
  row.learning_rate = 1e-3, row.gradient_norm = 1e-9 * double(random()), row.wall_seconds = 1e-9 * double(random());
  row.seconds.assign(Timers::phases, 0.01), row.bytes.assign(Timers::phases, 100);
  std::int64_t kept = 0;
  for (int b = 0; b < config.model.blocks; ++b) {
    row.layers.push_back(layer_of(config, b, random));
    for (const std::int64_t n : row.layers.back().kept) kept += n;
  }
  row.traffic = {kept};
  return row;
}

/// Stored bytes a row of every variable along `row`, largest first.
void print_storage(const std::string& path, std::int64_t rows) {
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  std::vector<std::pair<double, std::string>> sizes;
  for (const record::Variable& v : record::variables_of(record::FileKind::run)) {
    if (record::growing_dimension(v) != "row") continue;
    const hid_t dataset = H5Dopen2(file, v.name, H5P_DEFAULT);
    sizes.emplace_back(double(H5Dget_storage_size(dataset)) / double(rows), v.name);
    H5Dclose(dataset);
  }
  H5Fclose(file);
  std::sort(sizes.rbegin(), sizes.rend());
  for (std::size_t i = 0; i < 6; ++i)
    std::printf("  %-16s %12.1f bytes a row\n", sizes[i].second.c_str(), sizes[i].first);
}

}  // namespace

int main(int count, char** arguments) {
  const auto number = [&](int i, int other) { return count > i ? std::atoi(arguments[i]) : other; };
  if (count < 2) return std::fprintf(stderr, "record FOLDER [rows [experts [layers [flush_every]]]]\n"), 2;
  const std::int64_t rows = number(2, 1000);
  const Config config = config_of(number(3, 64), number(4, 4), number(5, 10));
  const std::string path = std::string(arguments[1]) + "/run.h5";
  std::filesystem::create_directories(arguments[1]);
  std::mt19937 random(1);
  std::vector<record::StepRow> pool;
  for (int i = 0; i < pool_rows; ++i) pool.push_back(row_of(config, random));
  const auto start = Clock::now();
  {
    record::RunFile file(path, config, 1, dump(config, {}), "{}", 0);
    for (std::int64_t step = 1; step <= rows; ++step) {
      record::StepRow& row = pool[static_cast<std::size_t>(step % pool_rows)];
      row.step = step, row.tokens = step * config.step_tokens();
      file.append(row);
    }
    file.close();
  }
  const double appending = seconds_since(start);
  const auto size = double(std::filesystem::file_size(path));
  std::printf("%lld rows, %d experts, %d layers: %.1f bytes a row, %.3f ms to append one\n",
              static_cast<long long>(rows), config.moe.experts, config.model.blocks, size / double(rows),
              1e3 * appending / double(rows));
  print_storage(path, rows);
  const auto begin = Clock::now();
  const auto problems = record::verify_path(path).problems;
  std::printf("  verify %.2f s, %s\n", seconds_since(begin), problems.empty() ? "sound" : problems.front().c_str());
}
