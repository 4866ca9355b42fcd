// ranks: 1 2 3 4 5
// What a run records of its communication against what its ranks counted, whichever way rows go, also where ranks have
// no tokens; and what is posted against what the plans say, which `verify` compares.
#include "train/communication_meter.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <type_traits>
#include <utility>

#include "base/ledger.hpp"
#include "config/yaml.hpp"
#include "data/support.hpp"
#include "hdf5/hdf5.hpp"
#include "record/kept_config.hpp"
#include "record/verify.hpp"
#include "train/files.hpp"
#include "train/recorder.hpp"
#include "train/synthetic.hpp"

namespace switchyard::train {
namespace {

using ledger::Purpose;

struct Way {
  const char* name;
  ExchangeKind exchange = ExchangeKind::pairwise;
  int grains = 6, zero = 0, lanes = 1, combine_groups = 1;
  bool node_of_two = false;  ///< nodes of two ranks where that is possible, else of one
};

Config config_of(const Way& way, int ranks) {
  Config c;
  c.model = {.vocabulary = 260, .width = 8, .blocks = 2, .heads = 2, .context = 8, .hidden = 16};
  c.moe.experts = 8, c.moe.top_k = 2, c.moe.hidden = 8, c.moe.combine_groups = way.combine_groups;
  c.train.batch = 6, c.train.grains = way.grains, c.train.evaluate_every = 0;
  c.layout.exchange = way.exchange, c.layout.zero = way.zero, c.layout.lanes = way.lanes;
  c.layout.ranks_per_node = way.node_of_two && ranks % 2 == 0 ? 2 : 1;
  c.record.flush_every = 1, c.record.sample_every = 0, c.record.timeline_every = 2;
  return c;
}

/// (purposes) of bytes, messages, and those to other nodes, of all ranks in the step that was taken last.
std::vector<std::int64_t> counted(const Machine& m) {
  const std::size_t n = ledger::purpose_names().size(), ranks = m.groups.world.size();
  const auto entries = ledger::entries();
  std::vector<std::int64_t> sums(4 * n, 0);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::size_t p = i / ranks;
    const bool across =
        m.groups.nodes.of[i % ranks] != m.groups.nodes.of[static_cast<std::size_t>(m.groups.world.rank())];
    sums[p] += entries[i].bytes, sums[n + p] += entries[i].messages;
    if (across) sums[2 * n + p] += entries[i].bytes, sums[3 * n + p] += entries[i].messages;
  }
  comm::all_reduce_sum(m.groups.world, sums.data(), static_cast<std::int64_t>(sums.size()));
  return sums;
}

/// Row `row` of a growing variable, all of a fixed one.
template <class T>
std::vector<T> read(const hdf5::File& file, const std::string& name, std::int64_t row = -1) {
  const auto dataset = file.open_dataset(name);
  const hdf5::Extent extent = hdf5::extent_of(dataset, name);
  const hdf5::Type type = std::is_same_v<T, double>         ? hdf5::Type::f64
                          : std::is_same_v<T, std::uint8_t> ? hdf5::Type::u8
                                                            : hdf5::Type::i64;
  std::vector<T> values(static_cast<std::size_t>(hdf5::elements(extent)) / (row < 0 ? 1 : extent[0]));
  hdf5::read_rows(dataset, type, row < 0 ? 0 : row, row < 0 ? extent[0] : 1, values.data(), name);
  return values;
}

template <class T>
std::vector<T> last_row(const hdf5::File& file, const std::string& name) {
  return read<T>(file, name, 2);
}

void expect_counts(const hdf5::File& file, const std::vector<std::int64_t>& all, const std::string& name) {
  std::vector<std::int64_t> recorded;
  for (const char* of : {"sent_bytes", "sent_messages", "across_bytes", "across_messages"})
    for (const std::int64_t n : last_row<std::int64_t>(file, of)) recorded.push_back(n);
  EXPECT_EQ(recorded, all) << name;
}

double union_of(std::vector<std::pair<double, double>> spans) {
  std::sort(spans.begin(), spans.end());
  double length = 0.0, reached = -1e300;
  for (const auto& [start, end] : spans)
    length += std::max(0.0, end - std::max(start, reached)), reached = std::max(reached, end);
  return length;
}

/// The intervals of the timeline of step 2 explain what its row says.
void expect_same_shares(const hdf5::File& file, std::size_t ranks, const std::string& name) {
  const auto meets = read<std::uint8_t>(file, "task_meets");
  const auto start = read<double>(file, "timeline_start", 0), end = read<double>(file, "timeline_end", 0),
             left = read<double>(file, "hop_start", 0), arrived = read<double>(file, "hop_end", 0),
             waited = read<double>(file, "hop_waited", 0);
  const std::size_t hops = left.size() / ranks;
  double busy = 0.0, exposed = std::accumulate(waited.begin(), waited.end(), 0.0);
  for (std::size_t r = 0; r < ranks; ++r) {
    std::vector<std::pair<double, double>> spans;
    for (std::size_t t = 0, i = r * meets.size(); t < meets.size(); ++t, ++i)
      if (meets[t]) spans.emplace_back(start[i], end[i]), exposed += end[i] - start[i];
    for (std::size_t i = r * hops; i < (r + 1) * hops; ++i) spans.emplace_back(left[i], arrived[i]);
    busy += union_of(spans);
  }
  const auto of = [&](const char* variable) { return read<double>(file, variable, 1)[0]; };
  EXPECT_NEAR(busy / static_cast<double>(ranks), of("communication_busy"), 1e-8) << name;
  EXPECT_NEAR(exposed / static_cast<double>(ranks), of("communication_exposed"), 1e-8) << name;
  EXPECT_NEAR(schedule::hidden_share(busy, exposed), of("hidden_share"), 1e-4) << name;
  const auto of_purposes = read<double>(file, "purpose_exposed", 1);
  EXPECT_NEAR(std::accumulate(of_purposes.begin(), of_purposes.end(), 0.0), of("communication_exposed"), 1e-9) << name;
}

class Communications : public ::testing::TestWithParam<Way> {
 protected:
  /// Three steps; of the last what was counted.
  std::vector<std::int64_t> record(Machine& m) {
    const data::Corpus corpus = data::Corpus::open(files.corpus());
    const data::Batches batches(corpus, m.config, m.groups.layout);
    Recorder recorder(m, corpus, batches, {files.path(), dump(m.config, {}) + record::config_end, "{}", 0});
    std::vector<std::int64_t> all;
    for (std::int64_t step = 1; step <= 3; ++step) {
      const StepResult result = train_step(m, synthetic_batch(m.config, m.groups.layout, step), step);
      all = counted(m);
      recorder.step(step, result);
    }
    recorder.close();
    return all;
  }
  test::Files files{[](const test::Folder& folder) { return data::small_corpus(folder, 12); }};
};

TEST_P(Communications, AreRecordedAsTheyWerePosted) {
  const int ranks = comm::Communicator::duplicate(MPI_COMM_WORLD).size();
  Machine m(config_of(GetParam(), ranks), comm::Communicator::duplicate(MPI_COMM_WORLD));
  const std::vector<std::int64_t> all = record(m);
  if (m.groups.world.rank() > 0) return;
  std::string problems;
  for (const std::string& p : record::verify_path(files.path() + "/run.h5").problems) problems += p + "\n";
  EXPECT_EQ(problems, "") << GetParam().name;
  const auto file = hdf5::File::open(files.path() + "/run.h5");
  expect_counts(file, all, GetParam().name);
  expect_same_shares(file, static_cast<std::size_t>(ranks), GetParam().name);
  const auto bytes = [&](Purpose p) { return all[static_cast<std::size_t>(p)]; };
  for (const Purpose p : {Purpose::plan, Purpose::dispatch, Purpose::combine, Purpose::combine_back,
                          Purpose::dispatch_back, Purpose::statistics, Purpose::reduce, Purpose::norm})
    EXPECT_EQ(bytes(p) > 0, ranks > 1) << ledger::purpose_names()[static_cast<std::size_t>(p)];
  EXPECT_EQ(bytes(Purpose::gather) > 0, ranks > 1 && GetParam().zero == 1);
  const bool legs = ranks == 4 || (ranks == 2 && GetParam().exchange == ExchangeKind::gather);  // nodes of two
  EXPECT_EQ(bytes(Purpose::weights) > 0, legs && GetParam().combine_groups > 1);
  const double busy = last_row<double>(file, "communication_busy")[0], longest = last_row<double>(file, "hop_max")[0];
  EXPECT_EQ(busy > 0.0, ranks > 1);
  EXPECT_EQ(longest > 0.0, ranks > 1);
  EXPECT_LE(last_row<double>(file, "exposed_share")[0], 1.0);
  EXPECT_EQ(last_row<double>(file, "hidden_share")[0] == 1.0, ranks == 1);
}

const Way ways[] = {{"pairwise"},
                    {"few_grains", ExchangeKind::pairwise, 2},
                    {"alltoallv", ExchangeKind::alltoallv},
                    {"shards", ExchangeKind::pairwise, 6, 1},
                    {"lanes", ExchangeKind::pairwise, 6, 0, 2},
                    {"node", ExchangeKind::node, 6, 0, 1, 1, true},
                    {"node_sums", ExchangeKind::node, 6, 0, 1, 4, true},
                    {"gather", ExchangeKind::gather, 6, 0, 1, 1, true},
                    {"gather_sums", ExchangeKind::gather, 6, 0, 1, 4, true},
                    {"gather_sums_of_nodes", ExchangeKind::gather, 6, 0, 2, 2, true}};
INSTANTIATE_TEST_SUITE_P(Ways, Communications, ::testing::ValuesIn(ways),
                         [](const auto& way) { return std::string(way.param.name); });

}  // namespace
}  // namespace switchyard::train
