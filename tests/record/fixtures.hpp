// Small runs for the tests of the record: rows that obey the conservation laws, folders that go away.
#pragma once
#include <string>
#include <vector>

#include "config/config.hpp"
#include "record/run_file.hpp"
#include "support/folder.hpp"
#include "support/small_config.hpp"

namespace fixtures {

using namespace switchyard;

using test::Folder;

/// What ranks on a node each send each other: nothing where there is one; else 100 bytes in the phases of the plans,
/// but no rows. Of each purpose bytes and messages.
inline record::CommunicationRow communication_of(int ranks) {
  record::CommunicationRow row;
  row.bytes = {100, 0, 0, 0, 0, 100, 8, 50, 8, 50, 0};
  row.messages = {2, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0};
  for (auto* of : {&row.bytes, &row.messages})
    for (std::int64_t& n : *of) n *= ranks > 1;
  row.bytes_across = row.bytes, row.messages_across = row.messages;
  row.busy = 0.2, row.exposed = 0.05, row.exposed_share = 0.1;
  row.purpose_busy = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.15, 0.1, 0.0, 0.0};  // of 0.2 s together
  row.purpose_exposed = {0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.03, 0.02, 0.0, 0.0};
  row.hop_p50 = 1e-3, row.hop_p99 = 2e-3, row.hop_max = 5e-3;
  return row;
}

/// Row of a step, a pure function of it.
inline record::StepRow row_of(const Config& config, std::int64_t step, int ranks) {
  record::StepRow row;
  row.step = step;
  row.tokens = step * config.step_tokens();
  row.loss = {3.0 / static_cast<double>(step), 0.1, 0.01, 0.0, 0.001};
  row.learning_rate = 1e-3;
  row.gradient_norm = 1.0 + 0.125 * static_cast<double>(step);
  row.wall_seconds = 0.5;
  row.seconds.assign(Timers::phases, 0.01);
  row.bytes.assign(Timers::phases, 100);
  row.communication = communication_of(ranks);
  for (const Phase p : {Phase::router, Phase::plan, Phase::dispatch, Phase::combine, Phase::reduce})
    row.bytes[static_cast<std::size_t>(p)] = ranks > 1 && p != Phase::dispatch && p != Phase::combine ? 100 : 0;
  std::int64_t kept_rows = 0;
  for (int b = 0; b < config.model.blocks; ++b) {
    const int e = config.block_experts(b);
    if (e == 0) continue;
    moe::LayerStatistics layer;
    layer.block = b, layer.experts = e;
    const std::int64_t rows = config.step_tokens() * config.moe.top_k;
    layer.assigned.assign(e, rows / e);
    layer.assigned[step % e] += rows % e;
    layer.kept = layer.assigned;
    if (step % 2 == 0) layer.kept[0] -= 1;
    layer.prob_mass.assign(e, static_cast<double>(config.step_tokens()) / e);
    layer.bias.assign(e, 0.25f);
    layer.margin.assign(config.record.margin_bins, 0);
    layer.margin[0] = config.step_tokens();
    layer.entropy = 1.0;
    for (const auto k : layer.kept) kept_rows += k;
    row.layers.push_back(layer);
  }
  row.traffic.assign(static_cast<std::size_t>(ranks) * ranks, 0);
  row.traffic[0] = kept_rows;
  return row;
}

}  // namespace fixtures
