#include "train/generate.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/check.hpp"
#include "base/philox.hpp"
#include "checkpoint/checkpoint.hpp"
#include "record/in_use.hpp"
#include "train/machine.hpp"
#include "train/restore.hpp"
#include "train/run_corpus.hpp"

namespace switchyard::train {
namespace {

/// The run's configuration for one sequence on one rank.
Config single_sequence(Config config) {
  config.train.batch = config.train.grains = 1;
  config.layout = {};
  return config;
}

void require_checkpoint(bool stands, const std::string& run) {
  check(stands, Exit::usage, run + " has no checkpoint to generate from; train it first");
}

/// Of a run that goes on: a checkpoint that is removed while it is read is no damage.
Loaded load_of(const RunParts& run, Machine& machine) {
  Loaded loaded;
  record::read_again(run.folder, [&] {
    loaded = load_newest(run, machine);
    return !loaded.folder.empty();
  });
  require_checkpoint(!loaded.folder.empty(), run.folder);
  return loaded;
}

/// Index drawn from softmax(logits / temperature), or the largest for temperature 0.
std::int32_t draw(const std::vector<float>& logits, double temperature, double uniform) {
  check(std::all_of(logits.begin(), logits.end(), [](float l) { return std::isfinite(l); }), Exit::non_finite,
        "the model's logits are not finite; take an older checkpoint");
  const auto best = std::max_element(logits.begin(), logits.end());
  if (temperature <= 0.0) return static_cast<std::int32_t>(best - logits.begin());
  std::vector<double> sums;
  double sum = 0.0;
  for (const float l : logits) sums.push_back(sum += std::exp((double(l) - *best) / temperature));
  const auto chosen = std::upper_bound(sums.begin(), sums.end(), uniform * sum) - sums.begin();
  return static_cast<std::int32_t>(std::min<std::ptrdiff_t>(chosen, static_cast<std::ptrdiff_t>(logits.size()) - 1));
}

/// Logits after the last of `ids`, of which the last `context` count; what stands after it in the batch is not seen.
std::vector<float> next_logits(Machine& m, const std::vector<std::int32_t>& ids) {
  const int context = m.config.model.context;
  const auto count = std::min<std::ptrdiff_t>(context, static_cast<std::ptrdiff_t>(ids.size()));
  data::Batch batch;
  batch.context = context, batch.sequences = {0, 1}, batch.position = {0};
  batch.tokens.assign(ids.end() - count, ids.end());
  batch.tokens.resize(context, ids.back());
  batch.targets = batch.tokens;
  m.model->forward(m.queue(), batch, moe::Pass::evaluate);
  m.model->reduce(m.queue());
  return m.model->logits(m.queue(), count - 1);
}

}  // namespace

std::string generate(const std::string& run, const Config& config, const Prompt& prompt) {
  auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  expect(world.size() == 1, "one rank");
  require_checkpoint(!checkpoint::list_checkpoints(run).empty(), run);  // before the machine is made
  Config resolved = config;
  const auto corpus = open_corpus_for(resolved, true);
  Machine machine(single_sequence(resolved), std::move(world));
  for (const std::string& note : load_of({run, resolved, corpus}, machine).notes)
    std::fprintf(stderr, "switchyard: note: %s\n", note.c_str());

  std::vector<std::int32_t> ids = corpus.encode(prompt.text);
  if (ids.empty()) ids.push_back(corpus.end_token());
  const std::uint64_t key = stream_key(prompt.seed, Purpose::sampling);
  for (int i = 0; i < prompt.tokens; ++i) {
    auto logits = next_logits(machine, ids);
    logits.resize(corpus.vocabulary());  // a larger model.vocabulary has rows that no token stands for
    const double uniform_number = uniform(philox(key, {{static_cast<std::uint32_t>(i), 0, 0, 0}}).v[0]);
    ids.push_back(draw(logits, prompt.temperature, uniform_number));
  }
  return corpus.decode(ids);
}

}  // namespace switchyard::train
