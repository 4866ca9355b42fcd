// Rows in pieces: how large they are, that they make up the file, and that laws hold from one to the next. Routing put
// side by side; what writers refuse; texts cut between characters.
#include "record/row_blocks.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "base/check.hpp"
#include "edit.hpp"
#include "record/routing_columns.hpp"
#include "record/verify.hpp"
#include "run_fixture.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;
using fixtures::Folder;
using fixtures::joined;

constexpr std::int64_t mib = 1 << 20;

TEST(RowsOfPiece, AreWholeChunksOfModerateSize) {
  for (const std::int64_t chunk : {1, 2, 3, 10, 1000, 1 << 30})
    for (const std::int64_t bytes : {std::int64_t{0}, std::int64_t{1}, std::int64_t{7}, 4 * mib, 16 * mib, 16 * mib + 1,
                                     256 * mib, 256 * mib + 1, std::int64_t{1} << 60}) {
      const std::int64_t rows = rows_of_piece(chunk, bytes), row = std::max<std::int64_t>(bytes, 1);
      ASSERT_GE(rows, 1) << chunk << " " << bytes;
      if (chunk <= 16 * mib / row) {  // whole chunks, and one more would be too many
        EXPECT_EQ(rows % chunk, 0) << chunk << " " << bytes;
        EXPECT_LE(rows * row, 16 * mib);
        EXPECT_GT((rows + chunk) * row, 16 * mib);
      } else {  // one chunk, or a part of it
        EXPECT_LE(rows, chunk);
        EXPECT_TRUE(rows == 1 || rows * row <= 256 * mib) << chunk << " " << bytes;
        EXPECT_TRUE(rows == chunk || (rows + 1) * row > 256 * mib) << chunk << " " << bytes;
      }
    }
}

/// Margins of 3 MB a row: 16 MiB are read at a time, in chunks of 2 rows.
Config wide_config() {
  Config config = fixtures::small_config();
  config.record.margin_bins = 200000, config.record.flush_every = 2;
  config.record.timeline_every = 0, config.train.evaluate_every = 0;
  return config;
}

/// Nine steps of it, written once.
std::string wide_file() {
  static const Folder folder;
  const std::string path = folder / "run.h5";
  if (std::filesystem::exists(path)) return path;
  const Config config = wide_config();
  RunFile file(path, config, 1, dump(config, {}), "{}", 0);
  for (int step = 1; step <= 9; ++step) file.append(fixtures::row_of(config, step, 1));
  file.close();
  return path;
}

TEST(RowBlocks, MakeUpTheFileAndKeepItsLaws) {
  const Folder folder;
  const std::string path = folder / "run.h5";
  std::filesystem::copy_file(wide_file(), path);
  std::vector<std::int64_t> steps, sizes;
  {
    const RecordReader file(path);
    for (RowBlocks block(file, "row"); block.next();) {
      EXPECT_EQ(block.first(), static_cast<std::int64_t>(steps.size()));
      for (std::int64_t r = 0; r < block.rows(); ++r) {
        steps.push_back(block.value<std::int64_t>("step", r));
        const StepRow row = fixtures::row_of(wide_config(), steps.back(), 1);
        const auto kept = block.row<std::int64_t>("kept", r);
        EXPECT_EQ(std::vector<std::int64_t>(kept.begin() + 5, kept.end()), row.layers[1].kept);
        EXPECT_EQ(block.row<std::int64_t>("margin", r).size(), 400000u);
        EXPECT_EQ(block.value<double>("loss", r), row.loss.total());
      }
      sizes.push_back(block.rows());
    }
    RowBlocks none(file, "evaluation");
    EXPECT_FALSE(none.next());
    EXPECT_FALSE(none.next());
  }
  EXPECT_EQ(steps, (std::vector<std::int64_t>{1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(sizes, (std::vector<std::int64_t>{4, 4, 1}));
  EXPECT_EQ(joined(verify_path(path).problems), "");
  // The first row of a block against the last one of the block before.
  fixtures::Editor(path).set("step", 4, std::int64_t{6}), fixtures::Editor(path).set("tokens", 4, std::int64_t{192});
  EXPECT_EQ(joined(verify_path(path).problems), path + ": row 4: step 6 does not follow the one before\n" + path +
                                                    ": row 5: step 6 does not follow the one before\n");
}

TEST(ForEachPiece, GivesTheRowsAskedFor) {
  const RecordReader file(wide_file());
  for (const auto& [first, count] : {std::pair(0, 9), std::pair(3, 5), std::pair(8, 1), std::pair(2, 0)}) {
    std::string bytes;
    for_each_piece(file.file(), "margin", first, count,
                   [&bytes](const char* data, std::size_t size) { bytes.append(data, size); });
    ASSERT_EQ(bytes.size(), static_cast<std::size_t>(count) * 3200000);
    for (std::size_t row = 0; row < bytes.size() / 1600000; ++row)
      EXPECT_EQ(*reinterpret_cast<const std::int64_t*>(bytes.data() + row * 1600000), 32) << row;
  }
}

// Every sample has its own value: where it ends up is where the definition puts it.
TEST(Routing, IsPutSideBySide) {
  for (const std::size_t tokens : {0u, 1u, 5u})
    for (const std::vector<std::size_t>& choices_of : {std::vector<std::size_t>{}, {1}, {3, 1, 2}, {2, 2}, {1, 3}}) {
      const std::size_t choices = 3, layers = choices_of.size();
      std::vector<moe::RoutingSample> samples;
      for (std::size_t l = 0; l < layers; ++l) {
        samples.emplace_back();
        for (std::size_t i = 0; i < tokens * choices_of[l]; ++i) {
          samples[l].experts.push_back(static_cast<std::int32_t>(100 * l + i));
          samples[l].weights.push_back(static_cast<float>(100 * l + i) / 8);
          samples[l].kept.push_back(i % 2);
        }
      }
      const RoutingColumns out = interleave(samples, tokens, choices);
      ASSERT_EQ(out.expert.size(), tokens * layers * choices);
      std::size_t at = 0;
      for (std::size_t t = 0; t < tokens; ++t)
        for (std::size_t l = 0; l < layers; ++l)
          for (std::size_t c = 0; c < choices; ++c, ++at) {
            const bool chosen = c < choices_of[l];
            const std::size_t i = t * choices_of[l] + c;
            EXPECT_EQ(out.expert[at], chosen ? static_cast<int>(100 * l + i) : -1);
            EXPECT_EQ(out.weight[at], chosen ? static_cast<float>(100 * l + i) / 8 : 0.0f);
            EXPECT_EQ(out.kept[at], chosen ? i % 2 : 0);
          }
    }
}

/// Whether a defect of the program is named: Error{internal}.
template <class Work>
bool refused(Work work) try {
  work();
  return false;
} catch (const Error& error) {
  return error.code() == Exit::internal;
}

TEST(Writers, RefuseWhatDoesNotFit) {
  const Folder folder;
  const Config config = fixtures::small_config();
  RunFile rows(folder / "run.h5", config, 2, "", "{}", 0);
  const auto row = [&](const std::function<void(StepRow&)>& change) {
    StepRow r = fixtures::row_of(config, 1, 2);
    change(r);
    return refused([&] { rows.append(r); });
  };
  EXPECT_TRUE(row([](StepRow& r) { r.seconds.pop_back(); }));
  EXPECT_TRUE(row([](StepRow& r) { r.bytes.push_back(0); }));
  EXPECT_TRUE(row([](StepRow& r) { r.traffic.pop_back(); }));
  EXPECT_TRUE(row([](StepRow& r) { r.layers.push_back(r.layers[0]); }));
  EXPECT_TRUE(row([](StepRow& r) { r.communication.messages_across.pop_back(); }));
  const Folder others;
  const auto layer = [&](const std::function<void(moe::LayerStatistics&)>& change) {
    RunFile file(others / "run.h5", config, 2, "", "{}", 0);
    StepRow r = fixtures::row_of(config, 1, 2);
    change(r.layers[1]);
    const bool no = refused([&] { file.append(r); });
    std::filesystem::remove(others / "run.h5");
    return no;
  };
  EXPECT_TRUE(layer([](auto& l) { l.assigned.push_back(0); }));
  EXPECT_TRUE(layer([](auto& l) { l.kept.pop_back(); }));
  EXPECT_TRUE(layer([](auto& l) { l.prob_mass.clear(); }));
  EXPECT_TRUE(layer([](auto& l) { l.bias.resize(3); }));
  EXPECT_TRUE(layer([](auto& l) { l.margin.resize(3); }));
  EXPECT_FALSE(layer([](auto& l) { l.bias.clear(), l.margin.clear(); }));
  const auto timeline = [&](const std::function<void(TimelineRow&)>& change) {
    TimelineRow r = fixtures::timeline_of(config, 4, 2);
    change(r);
    return refused([&] { rows.append(r); });
  };
  EXPECT_TRUE(timeline([](TimelineRow& r) { r.step_start.pop_back(); }));
  EXPECT_TRUE(timeline([](TimelineRow& r) { r.end.pop_back(); }));
  EXPECT_TRUE(timeline([](TimelineRow& r) { r.bytes.clear(); }));
  EXPECT_TRUE(timeline([](TimelineRow& r) { r.hop_waited.pop_back(); }));
  EXPECT_TRUE(timeline([](TimelineRow& r) { r.pair_messages.clear(); }));
  EXPECT_TRUE(refused([&] { TokenFile(folder / "tokens.r0000.h5", config, 0); }));
  TokenFile tokens(folder / "tokens.r0000.h5", config, 16);
  const auto routing = fixtures::routing_of(config, fixtures::row_of(config, 2, 1), {0, 2});
  EXPECT_TRUE(refused([&] { tokens.append(2, fixtures::batch_of(config, 2, {0, 2}), {routing[0]}); }));
  EXPECT_TRUE(refused([&] { tokens.append(2, fixtures::batch_of(config, 2, {0, 1}), routing); }));
  auto odd = fixtures::batch_of(config, 2, {0, 2});
  odd.sequences = {0, 1};
  EXPECT_TRUE(refused([&] { tokens.append(2, odd, routing); }));
  EvaluationFile evaluation(folder / "evaluation.h5", config, fixtures::held_out(config));
  for (const int which : {0, 1, 2}) {
    auto e = fixtures::evaluation_of(config, 3);
    which == 0 ? e.predicted.pop_back() : which == 1 ? e.loss.pop_back() : e.layers.pop_back();
    EXPECT_TRUE(refused([&] { evaluation.append(e); })) << which;
  }
}

// The longest prefix of whole characters, by trying all.
TEST(CutUtf8, KeepsTheLongestPrefixOfWholeCharacters) {
  const std::vector<std::string> characters{"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x9A\x82"};
  std::mt19937 random(5);
  for (int trial = 0; trial < 60; ++trial) {
    std::string text;
    std::vector<std::size_t> ends{0};
    for (int i = 0; i < 7; ++i) text += characters[random() % 4], ends.push_back(text.size());
    for (std::size_t bytes = 4; bytes <= text.size() + 1; ++bytes) {
      std::size_t longest = 0;
      for (const std::size_t end : ends)
        if (end <= bytes) longest = end;
      EXPECT_EQ(cut_utf8(text, bytes), text.substr(0, longest));
    }
  }
  EXPECT_EQ(cut_utf8(std::string(20, '\x80'), 16), std::string(16, '\x80'));  // no text at all: cut where asked
}

}  // namespace
