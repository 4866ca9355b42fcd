// What check says of the disk is what the schema's table adds up to.
#include "record/disk.hpp"

#include <gtest/gtest.h>

#include <map>

#include "base/timers.hpp"
#include "config/estimate.hpp"
#include "config/moe_layers.hpp"
#include "record/evaluation_file.hpp"
#include "record/run_file.hpp"
#include "record/schema.hpp"
#include "schedule/generators.hpp"
#include "schedule/hops.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::record;

using Lengths = std::map<std::string, std::int64_t>;

/// Bytes of one step of a growing dimension, by the table.
std::int64_t bytes_of(FileKind kind, const std::string& growing, const Lengths& lengths) {
  std::int64_t sum = 0;
  for (const Variable& v : variables_of(kind)) {
    if (growing_dimension(v) != growing) continue;
    auto bytes = static_cast<std::int64_t>(hdf5::size_of(v.type));
    for (std::size_t d = 1; d < v.dims.size(); ++d) bytes *= lengths.at(v.dims[d]);
    sum += bytes;
  }
  return sum;
}

TEST(Disk, TheTableAddsUpToIt) {
  Config c;
  c.model.vocabulary = 500, c.model.blocks = 5;
  c.moe.experts_per_block = {0, 7, 12, 0, 3}, c.moe.top_k = 2;
  c.train.steps = 1050, c.train.keep = 2, c.train.checkpoint_every = 500, c.train.evaluate_every = 100;
  c.record.sample_every = 200, c.record.timeline_every = 200;
  const int ranks = 3;
  const DiskBytes d = disk_bytes(c, ranks);
  const std::int64_t layers = static_cast<std::int64_t>(moe_layers(c).size());
  const Lengths run{{"layer", layers},
                    {"expert", 12},
                    {"phase", Timers::phases},
                    {"evaluation_block", EvaluationRow::blocks},
                    {"margin_bin", c.record.margin_bins},
                    {"rank_from", ranks},
                    {"rank_to", ranks},
                    {"purpose", 11}};
  const auto tasks = schedule::make_tasks(c);
  const Lengths timeline{{"timeline_rank", ranks},
                         {"task", static_cast<std::int64_t>(tasks.size())},
                         {"hop", static_cast<std::int64_t>(schedule::hops_of(tasks, c).size())},
                         {"purpose", 11},
                         {"rank_from", ranks},
                         {"rank_to", ranks}};
  EXPECT_EQ(d.timeline.value(), bytes_of(FileKind::run, "timeline", timeline));
  EXPECT_EQ(d.timelines, 5);
  EXPECT_EQ(d.row.value(), bytes_of(FileKind::run, "row", run));
  const std::int64_t held_out = std::min<std::int64_t>(EvaluationTokens::most, c.train.evaluate_tokens);
  const Lengths evaluation{{"sample", held_out}, {"layer", layers}, {"choice", 2}};
  EXPECT_EQ(d.evaluation.value(),
            bytes_of(FileKind::run, "evaluation", run) + bytes_of(FileKind::evaluation, "evaluation", evaluation));
  const Lengths tokens{{"layer", layers}, {"choice", 2}};
  EXPECT_EQ(d.sample.value(), c.step_tokens() * bytes_of(FileKind::tokens, "sample", tokens));
  EXPECT_EQ(d.checkpoint.value(), 12 * model_size(c).total());
  EXPECT_EQ(d.rows, 1050);
  EXPECT_EQ(d.samples, 5);
  EXPECT_EQ(d.evaluations, 10);
  EXPECT_EQ(d.checkpoints, 2);
}

TEST(Disk, WhatDoesNotFitSaysSo) {
  Config c;
  c.model.vocabulary = 500;
  c.train.steps = std::int64_t{1} << 61;
  EXPECT_FALSE(disk_bytes(c, 1).total().fits());
}

}  // namespace
