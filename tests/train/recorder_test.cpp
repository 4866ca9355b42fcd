// ranks: 1 3
// The row and the timeline of a step against what every rank had: seconds of the slowest, bytes of all, who sent to
// whom, and times since rank 0 began.
#include "train/recorder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <type_traits>

#include "base/clock.hpp"
#include "data/support.hpp"
#include "hdf5/hdf5.hpp"
#include "train/files.hpp"
#include "train/synthetic.hpp"

namespace switchyard::train {
namespace {

Config config_of() {
  Config c;
  c.model = {.vocabulary = 260, .width = 8, .blocks = 2, .heads = 2, .context = 8, .hidden = 16};
  c.moe.experts = 5, c.moe.top_k = 2, c.moe.hidden = 8;
  c.train.batch = 6, c.train.grains = 6, c.train.evaluate_every = 0;
  c.record.flush_every = 1, c.record.sample_every = 0, c.record.timeline_every = 2;
  return c;
}

std::string small_corpus(const test::Folder& folder) { return data::small_corpus(folder, 12); }

/// Gives this rank times and bytes of which what is recorded can be told: a rank begins a quarter of a second after the
/// one before it and takes a second longer, task i is at second i of it, and each phase has its slowest rank.
void make_up(Machine& m, StepResult& result, double begin) {
  const int rank = m.groups.world.rank(), ranks = m.groups.world.size();
  for (int p = 0; p < Timers::phases; ++p) {
    m.timers.seconds[p] = p + (p % ranks == rank ? 100.0 : 1.0);
    m.timers.bytes[p] = (rank + 1) * (p + 1);
  }
  result.start = begin + 0.25 * rank, result.end = result.start + 2.0 + rank;
  for (std::size_t i = 0; i < result.intervals.size(); ++i) {
    const double start = result.start + static_cast<double>(i);
    result.intervals[i] = {start, start + 0.5, static_cast<std::int64_t>(100 * rank + i)};
  }
}

/// Rows sent from every rank to every rank, by the statistics of the layers.
std::vector<std::int64_t> traffic_of(const Machine& m) {
  std::vector<std::int64_t> mine(m.groups.world.size(), 0);
  for (const moe::Layer* layer : m.model->moe_layers())
    for (std::size_t r = 0; r < mine.size(); ++r) mine[r] += layer->statistics().traffic[r];
  return comm::all_gather(m.groups.world, mine);
}

/// Two steps recorded in `folder`; the traffic of both.
std::vector<std::int64_t> record_into(const std::string& folder, Machine& m, const data::Corpus& corpus) {
  const data::Batches batches(corpus, m.config, m.groups.layout);
  Recorder recorder(m, corpus, batches, {folder, "", "", 0});
  double begin = now();
  comm::broadcast(m.groups.world, &begin, sizeof begin, 0);
  std::vector<std::int64_t> traffic;
  for (std::int64_t step = 1; step <= 2; ++step) {
    StepResult result = train_step(m, synthetic_batch(m.config, m.groups.layout, step), step);
    const auto sent = traffic_of(m);
    traffic.insert(traffic.end(), sent.begin(), sent.end());
    make_up(m, result, begin);
    recorder.step(step, result);
    EXPECT_EQ(*std::max_element(m.timers.bytes.begin(), m.timers.bytes.end()), 0) << "a step counts for itself";
    EXPECT_LT(m.timers.seconds[static_cast<int>(Phase::head)], 1.0);
  }
  recorder.close();
  return traffic;
}

template <class T>
std::vector<T> read(const hdf5::File& file, const std::string& name) {
  const auto dataset = file.open_dataset(name);
  const hdf5::Extent extent = hdf5::extent_of(dataset, name);
  std::vector<T> values(hdf5::elements(extent));
  hdf5::read_rows(dataset, std::is_same_v<T, double> ? hdf5::Type::f64 : hdf5::Type::i64, 0, extent[0], values.data(),
                  name);
  return values;
}

void expect_rows(const hdf5::File& file, int ranks) {
  const auto seconds = read<double>(file, "phase_seconds");
  const auto bytes = read<std::int64_t>(file, "phase_bytes");
  ASSERT_EQ(seconds.size(), 2u * Timers::phases);
  for (int i = 0; i < 2 * Timers::phases; ++i) {
    const int p = i % Timers::phases;
    EXPECT_EQ(seconds[i], 100.0 + p) << i;
    EXPECT_EQ(bytes[i], (p + 1) * ranks * (ranks + 1) / 2) << i;
  }
  for (const double wall : read<double>(file, "wall_seconds")) EXPECT_NEAR(wall, 1.0 + ranks, 1e-6);
  EXPECT_EQ(read<std::int64_t>(file, "tokens"), (std::vector<std::int64_t>{48, 96}));
}

/// Of the second step alone.
void expect_timeline(const hdf5::File& file, int ranks, int tasks) {
  EXPECT_EQ(read<std::int64_t>(file, "timeline_step"), std::vector<std::int64_t>{2});
  const auto begin = read<double>(file, "timeline_step_start"), end = read<double>(file, "timeline_step_end"),
             start = read<double>(file, "timeline_start"), done = read<double>(file, "timeline_end");
  const auto bytes = read<std::int64_t>(file, "timeline_bytes");
  ASSERT_EQ(bytes.size(), static_cast<std::size_t>(ranks * tasks));
  for (int r = 0; r < ranks; ++r) {  // clocks of one machine differ by less than a round trip
    EXPECT_NEAR(begin[r], 0.25 * r, 0.1) << r;
    EXPECT_NEAR(end[r] - begin[r], 2.0 + r, 1e-6) << r;
    for (int i = 0; i < tasks; ++i) {
      EXPECT_NEAR(start[r * tasks + i] - begin[r], i, 1e-6) << r << " " << i;
      EXPECT_NEAR(done[r * tasks + i] - start[r * tasks + i], 0.5, 1e-6) << r << " " << i;
      EXPECT_EQ(bytes[r * tasks + i], 100 * r + i);
    }
  }
}

TEST(Recorder, HasOfAStepWhatItsRanksHad) {
  const test::Files files(small_corpus);
  const data::Corpus corpus = data::Corpus::open(files.corpus());
  Machine m(config_of(), comm::Communicator::duplicate(MPI_COMM_WORLD));
  const auto traffic = record_into(files.path(), m, corpus);
  if (m.groups.world.rank() > 0) return;
  const auto file = hdf5::File::open(files.path() + "/run.h5");
  EXPECT_EQ(read<std::int64_t>(file, "traffic"), traffic);
  expect_rows(file, m.groups.world.size());
  expect_timeline(file, m.groups.world.size(), static_cast<int>(m.tasks.size()));
}

// What falls short of a prediction is warned of in the log while the run goes on.
TEST(Recorder, WarnsOfAShortfall) {
  const test::Files files(small_corpus);
  const data::Corpus corpus = data::Corpus::open(files.corpus());
  Machine m(config_of(), comm::Communicator::duplicate(MPI_COMM_WORLD));
  const data::Batches batches(corpus, m.config, m.groups.layout);
  ForecastWatch forecast({"m.yaml", 0.09, 1.5, ""});  // nobody hides as much
  Recorder recorder(m, corpus, batches, {files.path(), "", "", 0, &forecast});
  StepResult result = train_step(m, synthetic_batch(m.config, m.groups.layout, 1), 1);
  for (std::int64_t step = 1; step <= 104; ++step) recorder.step(step, result);
  recorder.close();
  if (m.groups.world.rank() > 0) return;
  std::ifstream stream(files.path() + "/log.txt");
  const std::string log{std::istreambuf_iterator<char>(stream), {}};
  const std::size_t at = log.find(" warning hidden share η ");
  ASSERT_NE(at, std::string::npos) << log;
  EXPECT_NE(log.find(" over steps 4-103, plan predicted 1.50 (layout.machine m.yaml): "), std::string::npos) << log;
  EXPECT_EQ(log.find(" warning hidden share η ", at + 1), std::string::npos) << log;
}

}  // namespace
}  // namespace switchyard::train
