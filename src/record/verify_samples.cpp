// The laws between the files of a segment.
#include <algorithm>
#include <map>

#include "record/routing_shape.hpp"
#include "record/verify_laws.hpp"

namespace switchyard::record {
namespace {

using Problems = std::vector<std::string>;

struct SampleCounts {
  std::int64_t tokens = 0;
  std::vector<std::int64_t> assigned, kept;  ///< (layers, experts)
};

/// Adds the choices of one block of sampled tokens.
void count_block(const TokenBlock& block, const RoutingShape& shape, SampleCounts& counts) {
  const RecordReader& file = *block.rows.file;
  counts.tokens += block.rows.count;
  const auto expert = file.read<std::int16_t>("expert", block.rows.first, block.rows.count);
  const auto kept = file.read<std::uint8_t>("kept", block.rows.first, block.rows.count);
  const std::size_t choices = static_cast<std::size_t>(file.length("choice")),
                    layers = static_cast<std::size_t>(shape.layers);
  for (std::size_t i = 0; i < expert.size(); ++i) {
    const std::size_t l = i / choices % layers;
    if (expert[i] < 0 || expert[i] >= shape.layer_experts[l]) continue;
    const std::size_t at = l * static_cast<std::size_t>(shape.experts) + static_cast<std::size_t>(expert[i]);
    ++counts.assigned[at];
    counts.kept[at] += kept[i];
  }
}

SampleCounts count(const std::vector<TokenBlock>& blocks, const RoutingShape& shape) {
  const auto n = static_cast<std::size_t>(shape.layers * shape.experts);
  SampleCounts counts{0, std::vector<std::int64_t>(n), std::vector<std::int64_t>(n)};
  for (const TokenBlock& block : blocks) count_block(block, shape, counts);
  return counts;
}

/// Whether each token of a step is in one of the blocks, where they have as many rows.
bool has_every_token(const std::vector<TokenBlock>& blocks, std::int64_t tokens, std::int64_t context) {
  std::vector<bool> found(static_cast<std::size_t>(tokens));
  for (const TokenBlock& block : blocks) {
    const RecordReader& file = *block.rows.file;
    const auto sequence = file.read<std::int64_t>("sequence", block.rows.first, block.rows.count);
    const auto position = file.read<std::int32_t>("position", block.rows.first, block.rows.count);
    for (std::size_t i = 0; i < sequence.size(); ++i) {
      if (sequence[i] < 0 || position[i] < 0 || position[i] >= context || sequence[i] >= tokens / context) return false;
      found[static_cast<std::size_t>(sequence[i] * context + position[i])] = true;
    }
  }
  return std::all_of(found.begin(), found.end(), [](bool f) { return f; });
}

/// Recorded counts of the layers, one row after another.
struct RecordedCounts {
  OpenDataset assigned, kept;
  std::vector<std::int64_t> row;
  bool are(std::int64_t r, const SampleCounts& sample) {
    const auto same = [&](const OpenDataset& recorded, const std::vector<std::int64_t>& counted) {
      recorded.read(r, 1, row.data());
      return row == counted;
    };
    return same(assigned, sample.assigned) && same(kept, sample.kept);
  }
};

using Samples = std::map<std::int64_t, std::vector<TokenBlock>>;  // of each step

Samples samples_of(const Segment& segment) {
  Samples samples;
  for (const auto& file : segment.tokens)
    for (const TokenBlock& block : token_blocks(*file)) samples[block.step].push_back(block);
  return samples;
}

bool is_due(std::int64_t every, std::int64_t step) { return every > 0 && step % every == 0; }

/// Samples of other steps than those that are due, which a reader would take for the run's.
Problems check_due(const RecordReader& run, const Samples& samples, std::int64_t every, std::int64_t first) {
  Problems problems;
  for (const auto& [step, blocks] : samples)
    if (step < first || !is_due(every, step))
      problems.push_back(run.path() + ": tokens of step " + std::to_string(step) +
                         " are sampled, which is not due (record.sample_every is " + std::to_string(every) +
                         ", and the segment begins after step " + std::to_string(first - 1) + ")");
  return problems;
}

}  // namespace

Problems check_samples(const Segment& segment, bool ended) {
  if (!segment.run) return {};
  const RecordReader& run = *segment.run;
  const RoutingShape shape(run);
  for (const auto& file : segment.tokens) shape.check_same(*file);
  if (shape.layers == 0) return {};  // of a dense model nothing is sampled
  const Config config = config_of(run.file());
  const auto steps = run.read<std::int64_t>("step", 0, run.length("row"));
  const Samples samples = samples_of(segment);
  Problems problems = check_due(run, samples, config.record.sample_every, steps.empty() ? 1 : steps.front());
  RecordedCounts recorded{run.open("assigned"), run.open("kept"),
                          std::vector<std::int64_t>(static_cast<std::size_t>(shape.layers * shape.experts))};
  for (std::size_t r = 0; r < steps.size(); ++r) {
    if (!is_due(config.record.sample_every, steps[r])) continue;
    const auto at = samples.find(steps[r]);
    const std::vector<TokenBlock> blocks = at == samples.end() ? std::vector<TokenBlock>() : at->second;
    const SampleCounts sample = count(blocks, shape);
    const std::string where = run.path() + ": step " + std::to_string(steps[r]) + ": ";
    // A killed job may miss files of its last step only: nobody goes on before all ranks have written.
    if (sample.tokens != shape.step_tokens) {
      if (ended || r + 1 < steps.size())
        problems.push_back(where + std::to_string(sample.tokens) + " tokens are sampled, not all " +
                           std::to_string(shape.step_tokens));
      continue;
    }
    if (!has_every_token(blocks, shape.step_tokens, std::max(1, config.model.context)))
      problems.push_back(where + "not every token of the step is sampled once");
    if (!recorded.are(static_cast<std::int64_t>(r), sample))
      problems.push_back(where + "sampled tokens have other counts than assigned and kept");
  }
  return problems;
}

Problems check_evaluations(const Segment& segment, bool ended) {
  if (!segment.run) return {};
  const RoutingShape shape(*segment.run);
  const auto expected = segment.run->read<std::int64_t>("evaluation_step", 0, segment.run->length("evaluation"));
  std::vector<std::int64_t> found;
  if (segment.evaluation)
    found = segment.evaluation->read<std::int64_t>("step", 0, segment.evaluation->length("evaluation"));
  const std::string where = segment.run->path() + ": ";
  // The row in run.h5 is written first, and a killed job may miss the last of the others; one that ended has those of
  // its rows, and what a killed one had beyond them does not count.
  const std::int64_t rows = segment.run->length("row");
  const std::int64_t last = rows > 0 ? segment.run->read<std::int64_t>("step", rows - 1, 1).front() : 0;
  const auto beyond = std::upper_bound(expected.begin(), expected.end(), last);
  const std::size_t needed =
      ended ? static_cast<std::size_t>(beyond - expected.begin()) : std::max<std::size_t>(expected.size(), 1) - 1;
  Problems problems;
  if (!segment.evaluation && !expected.empty())
    return {where + std::to_string(expected.size()) + " evaluations, but evaluation.h5 is missing"};
  if (found.size() > expected.size() || found.size() < needed ||
      !std::equal(found.begin(), found.end(), expected.begin()))
    problems.push_back(where + std::to_string(expected.size()) + " evaluations, but evaluation.h5 has " +
                       std::to_string(found.size()) + ", or of other steps");
  if (!segment.evaluation) return problems;
  shape.check_same(*segment.evaluation);  // of a file without evaluations too
  if (!problems.empty()) return problems;
  if (shape.layers == 0) return problems;
  const auto choices = static_cast<std::size_t>(segment.evaluation->length("choice"));
  for (std::size_t row = 0; row < found.size(); ++row) {
    const auto expert = segment.evaluation->read<std::int16_t>("expert", static_cast<std::int64_t>(row), 1);
    for (std::size_t i = 0; i < expert.size(); ++i)
      if (expert[i] < -1 || expert[i] >= shape.layer_experts[i / choices % static_cast<std::size_t>(shape.layers)]) {
        problems.push_back(where + "evaluation of step " + std::to_string(found[row]) + " names expert " +
                           std::to_string(expert[i]) + ", which its layer does not have");
        break;
      }
  }
  return problems;
}

}  // namespace switchyard::record
