// Whole run folders, cut in different ways: the same run for the digest.
#pragma once
#include <algorithm>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "checkpoint/model_fixture.hpp"
#include "config/yaml.hpp"
#include "fixtures.hpp"
#include "record/evaluation_file.hpp"
#include "record/kept_config.hpp"
#include "record/run_folder.hpp"
#include "record/token_file.hpp"
#include "schedule/generators.hpp"
#include "schedule/hops.hpp"

namespace fixtures {

/// Tokens of sequences [first, last) of a step.
inline data::Batch batch_of(const Config& config, std::int64_t step, Range sequences) {
  data::Batch batch;
  batch.step = step, batch.context = config.model.context, batch.sequences = sequences;
  for (std::int64_t i = sequences.first * batch.context; i < sequences.last * batch.context; ++i)
    batch.tokens.push_back(static_cast<std::int32_t>((step * 7 + i * 3) % config.model.vocabulary));
  return batch;
}

/// Routing of the same tokens, with the counts of `row`.
inline std::vector<moe::RoutingSample> routing_of(const Config& config, const record::StepRow& row, Range sequences) {
  std::vector<moe::RoutingSample> samples;
  for (const auto& layer : row.layers) {
    moe::RoutingSample all;
    for (std::size_t e = 0; e < layer.assigned.size(); ++e)
      for (std::int64_t i = 0; i < layer.assigned[e]; ++i) {
        all.experts.push_back(static_cast<std::int32_t>(e));
        all.kept.push_back(i < layer.kept[e]);
        all.weights.push_back(static_cast<float>(i) / 64.0f);
      }
    const auto begin = sequences.first * config.model.context * config.moe.top_k;
    const auto end = sequences.last * config.model.context * config.moe.top_k;
    samples.push_back({{all.experts.begin() + begin, all.experts.begin() + end},
                       {all.weights.begin() + begin, all.weights.begin() + end},
                       {all.kept.begin() + begin, all.kept.begin() + end}});
  }
  return samples;
}

inline record::EvaluationTokens held_out(const Config& config) {
  record::EvaluationTokens tokens;
  for (int i = 0; i < 20; ++i) {
    tokens.token.push_back(i), tokens.next.push_back(i + 1), tokens.position.push_back(i % 8);
    tokens.document.push_back(i / 7), tokens.domain.push_back(i / 7 % 2);
  }
  tokens.domain_names = {"prose", "code"};
  for (int v = 0; v < config.model.vocabulary; ++v) tokens.token_text.push_back("token " + std::to_string(v));
  return tokens;
}

inline record::EvaluationRouting evaluation_of(const Config& config, std::int64_t step) {
  record::EvaluationRouting routing;
  routing.step = step;
  routing.predicted.assign(20, static_cast<std::int32_t>(step));
  routing.loss.assign(20, 1.0f / static_cast<float>(step));
  for (int b = 0; b < config.model.blocks; ++b) {
    const int e = config.block_experts(b);
    if (e == 0) continue;
    moe::RoutingSample sample;
    for (int i = 0; i < 20 * config.moe.top_k; ++i) sample.experts.push_back(i % e);
    sample.weights.assign(sample.experts.size(), 0.5f);
    sample.kept.assign(sample.experts.size(), 1);
    routing.layers.push_back(sample);
  }
  return routing;
}

/// Each rank on a node of its own.
inline record::RankNodes apart(int ranks) {
  std::vector<int> nodes(static_cast<std::size_t>(ranks));
  std::iota(nodes.begin(), nodes.end(), 0);
  return record::RankNodes(nodes);
}

/// What is sent in row_of, all of it from rank 0 to rank 1, beside hops of 1 ms from the begin of the step.
inline void add_communication(const Config& config, int ranks, record::TimelineRow& row) {
  const std::vector<schedule::TaskHop> hops = schedule::hops_of(schedule::make_tasks(config), config);
  const auto is_sums = [](const schedule::TaskHop& hop) { return hop.kind == schedule::HopKind::sums; };
  const auto sums = static_cast<std::size_t>(std::find_if(hops.begin(), hops.end(), is_sums) - hops.begin());
  const record::CommunicationRow sent = communication_of(ranks);
  for (int r = 0; r < ranks; ++r)
    for (std::size_t i = 0; i < hops.size(); ++i) {
      row.hop_start.push_back(1e-3 * r), row.hop_end.push_back(1e-3 * (r + 1)), row.hop_waited.push_back(5e-4);
      const bool all = r == 0 && i == sums;  // the gradients of all buckets
      row.hop_bytes.push_back(all ? sent.bytes[static_cast<std::size_t>(ledger::Purpose::reduce)] : 0);
    }
  const auto pairs = static_cast<std::size_t>(ranks) * static_cast<std::size_t>(ranks);
  row.pair_bytes.assign(sent.bytes.size() * pairs, 0), row.pair_messages = row.pair_bytes;
  for (std::size_t p = 0; ranks > 1 && p < sent.bytes.size(); ++p)
    row.pair_bytes[p * pairs + 1] = sent.bytes[p], row.pair_messages[p * pairs + 1] = sent.messages[p];
}

/// Made-up times: every task of a rank takes 1 ms more than the one before, all within the step.
inline record::TimelineRow timeline_of(const Config& config, std::int64_t step, int ranks) {
  const std::size_t tasks = schedule::make_tasks(config).size();
  record::TimelineRow row;
  row.step = step;
  for (int r = 0; r < ranks; ++r) {
    double at = 1e-3 * r;
    row.step_start.push_back(at);
    for (std::size_t t = 0; t < tasks; ++t) {
      row.start.push_back(at), row.end.push_back(at += 1e-3 * static_cast<double>(t + 1));
      row.bytes.push_back(static_cast<std::int64_t>(t) * step);
    }
    row.step_end.push_back(at);
  }
  add_communication(config, ranks, row);
  return row;
}

/// Steps [first, last] as one segment of `ranks` ranks; sampled as its options say, every third evaluated.
inline void write_segment(record::RunFolder& folder, const Config& config, int first, int last, int ranks) {
  const std::string segment = folder.start_segment(), text = dump(config, {}) + record::config_end;
  folder.write("config.yaml", text);
  record::RunFile rows(segment + "/run.h5", config, apart(ranks), text, "{}", first - 1);
  record::EvaluationFile evaluation(segment + "/evaluation.h5", config, held_out(config));
  std::vector<std::unique_ptr<record::TokenFile>> tokens;
  const auto part = [&](int r) { return split_evenly(config.train.batch, ranks, r); };
  for (int r = 0; r < ranks; ++r)
    tokens.push_back(std::make_unique<record::TokenFile>(segment + "/" + record::TokenFile::name(r), config,
                                                         part(r).size() * config.model.context));
  for (int step = first; step <= last; ++step) {
    const record::StepRow row = row_of(config, step, ranks);
    rows.append(row);
    if (step % config.record.timeline_every == 0) rows.append(timeline_of(config, step, ranks));
    for (int r = 0; step % config.record.sample_every == 0 && r < ranks; ++r)
      tokens[r]->append(step, batch_of(config, step, part(r)), routing_of(config, row, part(r)));
    if (step % 3 == 0) {
      rows.append(record::EvaluationRow{step, 1.5 / step, 2.0});
      evaluation.append(evaluation_of(config, step));
    }
  }
  rows.close(), evaluation.close();
  for (auto& file : tokens) file->close();
}

inline void write_checkpoint(const std::string& run, const Config& config, std::int64_t step, float change = 0.0f) {
  const auto ranks = ranks_of(1, 1, 40);
  ParameterSet& set = ranks->parameters;
  fill(set);
  if (change != 0.0f) {
    const Vector<float> moments = set.second_moments(Placement::expert);
    Kokkos::deep_copy(Kokkos::subview(moments, 3), change);
  }
  checkpoint::save_checkpoint(run, config, ranks->groups, set, state_of(step));
}

/// One problem a line.
inline std::string joined(const std::vector<std::string>& problems) {
  std::string text;
  for (const auto& p : problems) text += p + "\n";
  return text;
}

/// Twelve steps without a break on one rank.
inline void write_whole(const std::string& path) {
  record::RunFolder folder(path);
  const Config config = small_config();
  write_segment(folder, config, 1, 12, 1);
  write_checkpoint(path, config, 12);
}

}  // namespace fixtures
