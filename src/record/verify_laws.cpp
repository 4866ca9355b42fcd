#include "record/verify_laws.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <tuple>

#include "config/yaml.hpp"
#include "moe/statistics.hpp"

namespace switchyard::record {
namespace {

using Counts = std::vector<std::int64_t>;

/// Shape of the routing variables of run.h5.
struct Shape {
  std::int64_t layers, experts, ranks, step_tokens, choices;
  std::vector<std::int32_t> layer_experts;
  explicit Shape(const RecordReader& file)
      : layers(file.length("layer")),
        experts(file.length("expert")),
        ranks(file.length("rank_from")),
        step_tokens(file.attribute("step_tokens")),
        choices(file.attribute("top_k")) {
    if (layers > 0) layer_experts = file.read<std::int32_t>("experts", 0, layers);
  }
};

void check_scalars(const RecordReader& file, const Shape& shape, std::vector<std::string>& problems) {
  const std::int64_t rows = file.length("row");
  const auto steps = file.read<std::int64_t>("step", 0, rows), tokens = file.read<std::int64_t>("tokens", 0, rows);
  std::map<std::string, std::vector<double>> part;
  for (const char* name : {"loss", "loss_cross_entropy", "loss_head_z", "loss_aux", "loss_importance", "loss_router_z"})
    part[name] = file.read<double>(name, 0, rows);
  for (std::size_t r = 0; r < steps.size(); ++r) {
    const std::string where = file.path() + ": row " + std::to_string(r) + ": ";
    if (steps[r] < 1 || (r > 0 && steps[r] != steps[r - 1] + 1))
      problems.push_back(where + "step " + std::to_string(steps[r]) + " does not follow the one before");
    if (tokens[r] != steps[r] * shape.step_tokens) problems.push_back(where + "tokens are not step * step_tokens");
    const double sum = part["loss_cross_entropy"][r] + part["loss_head_z"][r] + part["loss_aux"][r] +
                       part["loss_importance"][r] + part["loss_router_z"][r];
    if (part["loss"][r] != sum) problems.push_back(where + "loss is not the sum of its parts");
  }
}

/// The counts of one row; returns the sum of kept.
std::int64_t check_counts(const std::string& where, const Shape& shape, const Counts& assigned, const Counts& kept,
                          std::vector<std::string>& problems) {
  for (std::int64_t l = 0; l < shape.layers; ++l) {
    std::int64_t sum = 0;
    bool beyond = false, outside = false;
    for (std::int64_t e = 0; e < shape.experts; ++e) {
      const auto at = static_cast<std::size_t>(l * shape.experts + e);
      sum += assigned[at];
      outside |= kept[at] < 0 || kept[at] > assigned[at];
      beyond |= e >= shape.layer_experts[static_cast<std::size_t>(l)] && assigned[at] != 0;
    }
    const std::string layer = where + "layer " + std::to_string(l) + ": ";
    if (sum != shape.step_tokens * shape.choices)
      problems.push_back(layer + "assigned sums to " + std::to_string(sum) +
                         ", not step_tokens * top_k = " + std::to_string(shape.step_tokens * shape.choices));
    if (outside) problems.push_back(layer + "kept is not within 0 and assigned");
    if (beyond) problems.push_back(layer + "counts beyond the layer's experts");
  }
  return std::accumulate(kept.begin(), kept.end(), std::int64_t{0});
}

/// The first `count` values of a layer in one row of all layers.
template <class T>
std::vector<T> layer_part(const std::vector<T>& row, std::int64_t layer, std::int64_t layers, std::int64_t count) {
  const auto first = row.begin() + layer * static_cast<std::int64_t>(row.size()) / layers;
  return {first, first + count};
}

/// What is recorded of the routing beside the counts: recomputed from them where it follows, within its range
/// elsewhere. Sums of floats may leave their range by rounding.
void check_routing(const RecordReader& file, const Shape& shape, std::int64_t row, std::vector<std::string>& problems) {
  constexpr double rounding = 0.01;
  const auto assigned = file.read<std::int64_t>("assigned", row, 1), kept = file.read<std::int64_t>("kept", row, 1),
             margin = file.read<std::int64_t>("margin", row, 1);
  const auto mass = file.read<double>("prob_mass", row, 1), entropy = file.read<double>("entropy", row, 1),
             max_vio = file.read<double>("max_vio", row, 1), drop_share = file.read<double>("drop_share", row, 1);
  const auto step_tokens = static_cast<double>(shape.step_tokens);
  for (std::int64_t l = 0; l < shape.layers; ++l) {
    const std::string where = file.path() + ": row " + std::to_string(row) + ": layer " + std::to_string(l) + ": ";
    const auto require = [&](bool good, const std::string& message) {
      if (!good) problems.push_back(where + message);
    };
    const auto at = static_cast<std::size_t>(l);
    const std::int64_t experts = shape.layer_experts[at];
    const Counts chosen = layer_part(assigned, l, shape.layers, experts);
    require(max_vio[at] == moe::max_vio(chosen), "max_vio is not that of assigned");
    require(drop_share[at] == moe::drop_share(chosen, layer_part(kept, l, shape.layers, experts)),
            "drop_share is not that of assigned and kept");
    const Counts bins = layer_part(margin, l, shape.layers, file.length("margin_bin"));
    require(std::accumulate(bins.begin(), bins.end(), std::int64_t{0}) == shape.step_tokens &&
                std::all_of(bins.begin(), bins.end(), [](std::int64_t n) { return n >= 0; }),
            "margin does not have every token of the step once");
    require(entropy[at] >= -rounding && entropy[at] <= std::log(static_cast<double>(experts)) + rounding,
            "entropy is not within 0 and the logarithm of the experts");
    const auto masses = layer_part(mass, l, shape.layers, experts);
    require(std::all_of(masses.begin(), masses.end(),
                        [&](double m) { return m >= 0.0 && m <= step_tokens * (1.0 + rounding); }),
            "prob_mass is not within 0 and the tokens of the step");
  }
}

struct SampleCounts {
  std::int64_t tokens = 0;
  Counts assigned, kept;  ///< (layers, experts)
};

/// record.sample_every of a segment; an option of another version of the program does not matter here.
std::int64_t sample_interval(const RecordReader& run) {
  const std::string text = h5::text_attribute(run.file().id(), "config", run.path());
  return load_text(run.path(), text).config.record.sample_every;
}

/// Adds the choices of one block of sampled tokens.
void count_block(const TokenBlock& block, const Shape& shape, SampleCounts& counts) {
  const RecordReader& file = *block.rows.file;
  counts.tokens += block.rows.count;
  counts.assigned.resize(static_cast<std::size_t>(shape.layers * shape.experts));
  counts.kept.resize(counts.assigned.size());
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

}  // namespace

std::vector<std::string> check_run_rows(const RecordReader& file) {
  std::vector<std::string> problems;
  const Shape shape(file);
  check_scalars(file, shape, problems);
  for (std::int64_t r = 0; shape.layers > 0 && r < file.length("row"); ++r) {
    const std::string where = file.path() + ": row " + std::to_string(r) + ": ";
    const auto traffic = file.read<std::int64_t>("traffic", r, 1);
    const std::int64_t kept = check_counts(where, shape, file.read<std::int64_t>("assigned", r, 1),
                                           file.read<std::int64_t>("kept", r, 1), problems);
    const std::int64_t sent = std::accumulate(traffic.begin(), traffic.end(), std::int64_t{0});
    if (sent != kept)
      problems.push_back(where + "traffic sums to " + std::to_string(sent) + ", kept to " + std::to_string(kept));
    check_routing(file, shape, r, problems);
  }
  return problems;
}

std::vector<std::string> check_token_rows(const RecordReader& file) {
  std::vector<std::string> problems;
  const std::int64_t rows = file.length("sample");
  const auto steps = file.read<std::int64_t>("step", 0, rows), sequences = file.read<std::int64_t>("sequence", 0, rows);
  const auto positions = file.read<std::int32_t>("position", 0, rows);
  for (std::size_t r = 1; r < steps.size(); ++r)
    if (std::tie(steps[r - 1], sequences[r - 1], positions[r - 1]) >= std::tie(steps[r], sequences[r], positions[r])) {
      problems.push_back(file.path() + ": row " + std::to_string(r) +
                         " is not after the one before by step, sequence, position");
      break;
    }
  return problems;
}

std::vector<std::string> check_evaluation_rows(const RecordReader& file) {
  std::vector<std::string> problems;
  const auto steps = file.read<std::int64_t>("step", 0, file.length("evaluation"));
  const auto choices = static_cast<std::size_t>(file.length("choice"));
  for (std::size_t row = 0; row < steps.size(); ++row) {
    const std::string where = file.path() + ": evaluation " + std::to_string(row) + ": ";
    if (row > 0 && steps[row] <= steps[row - 1]) problems.push_back(where + "its step is not after the one before");
    if (!file.has("expert")) continue;  // a dense model
    const auto at = static_cast<std::int64_t>(row);
    const auto dropped = file.read<std::uint8_t>("dropped", at, 1);
    if (std::any_of(dropped.begin(), dropped.end(), [](std::uint8_t d) { return d != 0; }))
      problems.push_back(where + "choices are dropped, though evaluation drops nothing");
    const auto expert = file.read<std::int16_t>("expert", at, 1);
    bool twice = false;
    for (std::size_t i = 0; i < expert.size(); ++i)
      for (std::size_t j = i - i % choices; j < i; ++j) twice |= expert[i] >= 0 && expert[i] == expert[j];
    if (twice) problems.push_back(where + "a token chooses an expert twice");
  }
  return problems;
}

std::vector<std::string> check_evaluations(const Segment& segment) {
  if (!segment.run) return {};
  const Shape shape(*segment.run);
  const auto expected = segment.run->read<std::int64_t>("evaluation_step", 0, segment.run->length("evaluation"));
  std::vector<std::int64_t> found;
  if (segment.evaluation)
    found = segment.evaluation->read<std::int64_t>("step", 0, segment.evaluation->length("evaluation"));
  const std::string where = segment.run->path() + ": ";
  // The row in run.h5 is written first, and a killed job may miss the last of the others.
  std::vector<std::string> problems;
  if (found.size() > expected.size() || found.size() + 1 < expected.size() ||
      !std::equal(found.begin(), found.end(), expected.begin()))
    problems.push_back(where + std::to_string(expected.size()) + " evaluations, but evaluation.h5 has " +
                       std::to_string(found.size()) + ", or of other steps");
  if (!problems.empty() || found.empty() || !segment.evaluation->has("expert")) return problems;
  const auto choices = static_cast<std::size_t>(segment.evaluation->length("choice"));
  for (std::size_t row = 0; row < found.size(); ++row) {
    const auto expert = segment.evaluation->read<std::int16_t>("expert", static_cast<std::int64_t>(row), 1);
    for (std::size_t i = 0; i < expert.size(); ++i)
      if (expert[i] >= shape.layer_experts[i / choices % static_cast<std::size_t>(shape.layers)]) {
        problems.push_back(where + "evaluation of step " + std::to_string(found[row]) + " names expert " +
                           std::to_string(expert[i]) + ", which its layer does not have");
        break;
      }
  }
  return problems;
}

std::vector<std::string> check_samples(const Segment& segment, bool ended) {
  std::vector<std::string> problems;
  if (!segment.run) return problems;
  const RecordReader& run = *segment.run;
  const Shape shape(run);
  if (shape.layers == 0) return problems;  // of a dense model nothing is sampled
  const std::int64_t every = sample_interval(run);
  std::map<std::int64_t, SampleCounts> samples;
  for (const auto& file : segment.tokens)
    for (const TokenBlock& block : token_blocks(*file)) count_block(block, shape, samples[block.step]);
  const auto steps = run.read<std::int64_t>("step", 0, run.length("row"));
  for (std::size_t r = 0; r < steps.size(); ++r) {
    const bool due = every > 0 && steps[r] % every == 0;
    if (!due && !samples.contains(steps[r])) continue;
    const SampleCounts& sample = samples[steps[r]];
    const std::string where = run.path() + ": step " + std::to_string(steps[r]) + ": ";
    // A killed job may miss files of its last step only: nobody goes on before all ranks have written.
    if (sample.tokens != shape.step_tokens) {
      if (ended || r + 1 < steps.size())
        problems.push_back(where + std::to_string(sample.tokens) + " tokens are sampled, not all " +
                           std::to_string(shape.step_tokens));
      continue;
    }
    if (sample.assigned != run.read<std::int64_t>("assigned", static_cast<std::int64_t>(r), 1) ||
        sample.kept != run.read<std::int64_t>("kept", static_cast<std::int64_t>(r), 1))
      problems.push_back(where + "sampled tokens have other counts than assigned and kept");
  }
  return problems;
}

}  // namespace switchyard::record
