#include "record/disk.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/ledger.hpp"
#include "base/timers.hpp"
#include "config/estimate.hpp"
#include "config/moe_layers.hpp"
#include "schedule/generators.hpp"
#include "schedule/hops.hpp"

namespace switchyard::record {
namespace {

constexpr std::int64_t evaluation_tokens = 65536, loss_blocks = 64;  // record/evaluation_file.hpp, record/run_file.hpp
constexpr std::int64_t scalars_of_row = 20 * 8, numbers_of_layer = 6 * 8, expert_numbers = 3 * 8 + 4,
                       choice = 2 + 4 + 1;

std::int64_t due(std::int64_t every, std::int64_t steps) { return every > 0 ? steps / every : 0; }

/// "161.3 kB".
std::string size_text(Checked bytes) {
  static constexpr std::array<const char*, 7> prefixes{" ", " k", " M", " G", " T", " P", " E"};
  double value = bytes.as_double();
  std::size_t step = 0;
  for (; value >= 999.95 && step + 1 < prefixes.size(); ++step) value /= 1000.0;
  std::array<char, 40> text;
  std::snprintf(text.data(), text.size(), step == 0 ? "%.0f%sB" : "%.1f%sB", value, prefixes[step]);
  return text.data();
}

std::string line(const char* name, const char* each, Checked bytes, std::int64_t times) {
  return describe_line(name,
                       size_text(bytes * times) + ": " + std::to_string(times) + " of " + size_text(bytes) + each);
}

}  // namespace

DiskBytes disk_bytes(const Config& c, int ranks) {
  const std::vector<MoeLayer> list = moe_layers(c);
  const auto layers = static_cast<std::int64_t>(list.size()), experts = std::int64_t{largest_layer(list)};
  const std::int64_t steps = c.train.steps, tokens = c.step_tokens();
  const auto purposes = static_cast<std::int64_t>(ledger::purpose_names().size());
  const Checked choices = Checked(layers) * c.moe.top_k * choice;
  DiskBytes d;
  d.row = Checked(layers) * (Checked(experts) * expert_numbers + numbers_of_layer + Checked(c.record.margin_bins) * 8) +
          Checked(ranks) * ranks * 8 + scalars_of_row + 16 * Timers::phases + purposes * 48;
  d.rows = steps;
  d.sample = Checked(tokens) * (choices + 24);
  d.samples = layers > 0 ? due(c.record.sample_every, steps) : 0;
  d.evaluation = Checked(std::min<std::int64_t>(c.train.evaluate_tokens, evaluation_tokens)) * (choices + 8) +
                 (loss_blocks + 4) * 8;
  d.evaluations = due(c.train.evaluate_every, steps);
  const auto tasks = schedule::make_tasks(c);
  const auto hops = static_cast<std::int64_t>(schedule::hops_of(tasks, c).size());
  d.timeline = Checked(ranks) * (static_cast<std::int64_t>(tasks.size()) * 24 + hops * 32 + 16) +
               Checked(ranks) * ranks * purposes * 16 + 8;
  d.timelines = due(c.record.timeline_every, steps);
  d.checkpoint = Checked(model_size(c).total()) * 12;
  const std::int64_t written =
      due(c.train.checkpoint_every, steps) + 1;  // and the last step's, unless it is one of them
  const bool last_is_due = c.train.checkpoint_every > 0 && steps % c.train.checkpoint_every == 0;
  const auto stay = std::count_if(c.train.keep_steps.begin(), c.train.keep_steps.end(),
                                  [steps](std::int64_t step) { return step <= steps; });
  d.checkpoints = std::min<std::int64_t>(c.train.keep, written - last_is_due) + stay;
  return d;
}

std::string describe_disk(const Config& config, int ranks) {
  const DiskBytes d = disk_bytes(config, ranks);
  return describe_line("on the disk", size_text(d.total()) +
                                          " at most, before compression, and a checkpoint that is "
                                          "being written") +
         line("  rows", " a step", d.row, d.rows) + line("  token samples", " a sampled step", d.sample, d.samples) +
         line("  timelines", " a sampled step", d.timeline, d.timelines) +
         line("  evaluations", "", d.evaluation, d.evaluations) +
         line("  checkpoints", "", d.checkpoint, d.checkpoints);
}

}  // namespace switchyard::record
