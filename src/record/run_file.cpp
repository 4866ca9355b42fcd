#include "record/run_file.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "base/check.hpp"
#include "base/files.hpp"
#include "base/ledger.hpp"
#include "config/moe_layers.hpp"
#include "record/columns.hpp"
#include "record/record_file.hpp"
#include "record/routing_columns.hpp"
#include "schedule/generators.hpp"
#include "schedule/hops.hpp"

namespace switchyard::record {

struct RunFile::State {
  RecordFile file;
  std::vector<MoeLayer> layers;
  std::vector<double> floors;  ///< (layers) moe::max_vio_floor
  std::size_t experts;         ///< largest number in any layer
  std::size_t ranks, hops;
  std::int64_t step_tokens;
  int top_k;
  std::int64_t flush_every;
  std::size_t margin_bins;
  Columns waiting;
  std::int64_t waiting_rows = 0;

  void add(const StepRow& row);
  void add(const CommunicationRow& row);
  void add_layer(const moe::LayerStatistics& layer, std::size_t l);
  void write_waiting();
};

namespace {

/// What a step is made of.
struct Work {
  explicit Work(const Config& config) : tasks(schedule::make_tasks(config)), hops(schedule::hops_of(tasks, config)) {}
  std::vector<schedule::Task> tasks;
  std::vector<schedule::TaskHop> hops;
};

RecordFile::Sizes sizes_of(const Config& config, int ranks, const Work& work) {
  const auto layers = moe_layers(config);
  return {{"row", config.record.flush_every},
          {"evaluation", 1},
          {"evaluation_block", EvaluationRow::blocks},
          {"layer", static_cast<std::int64_t>(layers.size())},
          {"expert", largest_layer(layers)},
          {"phase", Timers::phases},
          {"purpose", static_cast<std::int64_t>(ledger::purpose_names().size())},
          {"margin_bin", config.record.margin_bins},
          {"rank_from", ranks},
          {"rank_to", ranks},
          {"timeline", 1},
          {"timeline_rank", ranks},
          {"task", static_cast<std::int64_t>(work.tasks.size())},
          {"hop", static_cast<std::int64_t>(work.hops.size())}};
}

/// 16 bytes each, filled up with zeros.
std::string fixed_texts(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (name + std::string(16, '\0')).substr(0, 16);
  return text;
}

/// Lower edges of the bins of moe::margin_bin.
std::vector<double> margin_edges(int bins) {
  std::vector<double> edges(static_cast<std::size_t>(bins), 0.0);
  for (int bin = 1; bin < bins; ++bin) edges[bin] = std::ldexp(1.0, bin - bins);
  return edges;
}

void write_tasks(RecordFile& file, const std::vector<schedule::Task>& tasks) {
  std::vector<std::string> stages, directions;
  std::vector<std::int32_t> blocks, lanes, queues;
  for (const schedule::Task& task : tasks) {
    stages.push_back(schedule::name_of(task.stage)), directions.push_back(schedule::name_of(task.direction));
    blocks.push_back(task.block), lanes.push_back(task.lane), queues.push_back(task.queue);
  }
  file.write("task_stage", fixed_texts(stages).data());
  file.write("task_direction", fixed_texts(directions).data());
  file.write("task_block", blocks.data());
  file.write("task_lane", lanes.data());
  file.write("task_queue", queues.data());
}

void write_hops(RecordFile& file, const Work& work, const Config& config, int ranks) {
  const int degree = config.layout.expert_parallel;
  const auto meet = schedule::meetings(work.tasks, {.ranks = ranks, .expert_parallel = degree ? degree : ranks});
  const std::vector<std::uint8_t> meets(meet.begin(), meet.end());
  std::vector<std::int32_t> senders;
  std::vector<std::string> kinds;
  for (const auto& [task, kind] : work.hops) senders.push_back(task), kinds.push_back(schedule::name_of(kind));
  file.write("task_meets", meets.data());
  file.write("hop_task", senders.data());
  file.write("hop_kind", fixed_texts(kinds).data());
}

/// Number of the segment folder "segments/003" that the file stands in; 0 elsewhere.
std::int64_t segment_of(const std::string& path) {
  return std::atoll(std::filesystem::path(path).parent_path().filename().c_str());
}

}  // namespace

RunFile::RunFile(const std::string& path, const Config& config, const RankNodes& nodes, const std::string& config_text,
                 const std::string& provenance, std::int64_t begins_after) {
  const Work work(config);
  state_.reset(new State{RecordFile(FileKind::run, path, sizes_of(config, nodes.ranks(), work)),
                         moe_layers(config),
                         {},
                         0,
                         nodes.of.size(),
                         work.hops.size(),
                         config.step_tokens(),
                         config.moe.top_k,
                         config.record.flush_every,
                         static_cast<std::size_t>(config.record.margin_bins),
                         {}});
  State& s = *state_;
  s.experts = static_cast<std::size_t>(largest_layer(s.layers));
  for (const auto& layer : s.layers) s.floors.push_back(moe::max_vio_floor(s.step_tokens, s.top_k, layer.experts));
  s.file.attribute("config", config_text);
  s.file.attribute("config_sha256", files::sha256_of_text(config_text));
  s.file.attribute("provenance", provenance);
  s.file.attribute("segment", segment_of(path));
  s.file.attribute("begins_after", begins_after);
  s.file.attribute("ranks", nodes.ranks());
  s.file.attribute("step_tokens", s.step_tokens);
  s.file.attribute("top_k", s.top_k);
  std::vector<std::int32_t> experts;
  for (const auto& layer : s.layers) experts.push_back(layer.experts);
  s.file.write("block", blocks_of(s.layers).data());
  s.file.write("experts", experts.data());
  s.file.write("margin_edge", margin_edges(config.record.margin_bins).data());
  s.file.write("phase_name", fixed_texts(phase_names()).data());
  s.file.write("purpose_name", fixed_texts(ledger::purpose_names()).data());
  s.file.write("rank_node", nodes.of.data());
  write_tasks(s.file, work.tasks);
  write_hops(s.file, work, config, nodes.ranks());
  s.file.publish();
}

/// A file that was not closed keeps its flushed rows; what still waits is lost, as after a kill.
RunFile::~RunFile() = default;

void RunFile::append(const StepRow& row) {
  state_->add(row);
  ++state_->waiting_rows;
  if (row.step % state_->flush_every == 0) state_->write_waiting();
}

void RunFile::append(const EvaluationRow& row) {
  Columns columns;
  columns.add("evaluation_step", row.step);
  columns.add("evaluation_loss", row.loss);
  columns.add("evaluation_bits_per_byte", row.bits_per_byte);
  for (const double loss : row.block_loss) columns.add("evaluation_block_loss", loss);
  state_->file.append("evaluation", 1, columns.columns());
}

void RunFile::append(const TimelineRow& row) {
  expect(row.step_start.size() == state_->ranks && row.start.size() == row.end.size() &&
             row.start.size() == row.bytes.size() && row.start.size() % state_->ranks == 0,
         "a begin and an end of every task on every rank");
  for (const std::size_t size : {row.hop_start.size(), row.hop_end.size(), row.hop_waited.size(), row.hop_bytes.size()})
    expect(size == state_->ranks * state_->hops, "a begin and an end of every hop on every rank");
  for (const std::size_t size : {row.pair_bytes.size(), row.pair_messages.size()})
    expect(size == ledger::purpose_names().size() * state_->ranks * state_->ranks, "what every pair of ranks sent");
  Columns columns;
  columns.add("timeline_step", row.step);
  columns.add("timeline_step_start", row.step_start);
  columns.add("timeline_step_end", row.step_end);
  columns.add("timeline_start", row.start);
  columns.add("timeline_end", row.end);
  columns.add("timeline_bytes", row.bytes);
  columns.add("hop_start", row.hop_start);
  columns.add("hop_end", row.hop_end);
  columns.add("hop_waited", row.hop_waited);
  columns.add("hop_bytes", row.hop_bytes);
  columns.add("pair_bytes", row.pair_bytes);
  columns.add("pair_messages", row.pair_messages);
  state_->file.append("timeline", 1, columns.columns());
}

void RunFile::sync() { state_->file.sync(); }

void RunFile::close() {
  state_->write_waiting();
  state_->file.close();
}

void RunFile::State::write_waiting() {
  if (waiting_rows == 0) return;
  file.append("row", waiting_rows, waiting.columns());
  waiting.clear();
  waiting_rows = 0;
}

void RunFile::State::add(const StepRow& row) {
  expect(row.seconds.size() == Timers::phases && row.bytes.size() == Timers::phases,
         "seconds and bytes of every phase");
  expect(row.traffic.size() == ranks * ranks || (layers.empty() && row.traffic.empty()),
         "traffic of every pair of ranks");
  expect(row.layers.size() == layers.size(), "statistics of every layer");
  waiting.add("step", row.step);
  waiting.add("tokens", row.tokens);
  waiting.add("loss", row.loss.total());
  waiting.add("loss_cross_entropy", row.loss.cross_entropy);
  waiting.add("loss_head_z", row.loss.head_z);
  waiting.add("loss_aux", row.loss.aux);
  waiting.add("loss_importance", row.loss.importance);
  waiting.add("loss_router_z", row.loss.router_z);
  waiting.add("learning_rate", row.learning_rate);
  waiting.add("gradient_norm", row.gradient_norm);
  waiting.add("wall_seconds", row.wall_seconds);
  waiting.add("tokens_per_second", row.wall_seconds > 0.0 ? static_cast<double>(step_tokens) / row.wall_seconds : 0.0);
  waiting.add("peak_bytes", row.peak_bytes);
  waiting.add("phase_seconds", row.seconds);
  waiting.add("phase_bytes", row.bytes);
  waiting.add_padded("traffic", row.traffic, ranks * ranks);
  add(row.communication);
  for (std::size_t l = 0; l < layers.size(); ++l) add_layer(row.layers[l], l);
}

void RunFile::State::add(const CommunicationRow& row) {
  for (const auto* of : {&row.bytes, &row.messages, &row.bytes_across, &row.messages_across})
    expect(of->size() == ledger::purpose_names().size(), "what was sent for every purpose");
  for (const auto* of : {&row.purpose_busy, &row.purpose_exposed})
    expect(of->size() == ledger::purpose_names().size(), "seconds of every purpose");
  waiting.add("sent_bytes", row.bytes);
  waiting.add("sent_messages", row.messages);
  waiting.add("across_bytes", row.bytes_across);
  waiting.add("across_messages", row.messages_across);
  waiting.add("communication_busy", row.busy);
  waiting.add("communication_exposed", row.exposed);
  waiting.add("purpose_busy", row.purpose_busy);
  waiting.add("purpose_exposed", row.purpose_exposed);
  waiting.add("hidden_share", schedule::hidden_share(row.busy, row.exposed));
  waiting.add("exposed_share", row.exposed_share);
  waiting.add("hop_p50", row.hop_p50);
  waiting.add("hop_p99", row.hop_p99);
  waiting.add("hop_max", row.hop_max);
}

void RunFile::State::add_layer(const moe::LayerStatistics& layer, std::size_t l) {
  const auto e = static_cast<std::size_t>(layers[l].experts);
  expect(layer.assigned.size() == e && layer.kept.size() == e && layer.prob_mass.size() == e,
         "statistics of every expert");
  expect(layer.bias.empty() || layer.bias.size() == e, "a bias of every expert or none");
  expect(layer.margin.empty() || layer.margin.size() == margin_bins, "every bin of the margin or none");
  waiting.add_padded("assigned", layer.assigned, experts);
  waiting.add_padded("kept", layer.kept, experts);
  waiting.add_padded("prob_mass", layer.prob_mass, experts);
  waiting.add_padded("bias", layer.bias, experts);
  waiting.add_padded("margin", layer.margin, margin_bins);
  waiting.add("entropy", layer.entropy);
  waiting.add("score_spread", layer.score_spread);
  waiting.add("mean_weight", layer.mean_weight);
  waiting.add("max_vio", moe::max_vio(layer.assigned));
  waiting.add("max_vio_floor", floors[l]);
  waiting.add("drop_share", moe::drop_share(layer.assigned, layer.kept));
}

}  // namespace switchyard::record
