#include "laboratory/experiment.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "data/corpus.hpp"
#include "laboratory/generate.hpp"
#include "laboratory/table_model.hpp"

namespace switchyard::laboratory {
namespace {

Assignment assignment_of(const TreeTasks& t, const std::string& router, int experts) {
  if (router == "oracle") return ideal_assignment(t, experts);
  if (router == "hash") return hash_assignment(t, experts, t.seed);
  throw Error(Exit::usage, "router " + router + " is not known; take oracle or hash");
}

/// Trains the tables on samples of the token file, in their order.
void train(TableModel& model, const TreeTasks& t, const Assignment& experts, const data::Corpus& corpus,
           std::int64_t samples) {
  constexpr std::int64_t piece = 1 << 16;
  std::vector<std::int32_t> tokens(3 * piece);
  for (std::int64_t done = 0; done < samples; done += piece) {
    const std::int64_t n = std::min(piece, samples - done);
    corpus.read(data::Split::train, 3 * done, 3 * n, tokens.data());
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int32_t* s = &tokens[static_cast<std::size_t>(3 * i)];
      model.train(experts.at(static_cast<std::size_t>(s[0])), s[1] - t.tasks(), s[2] - t.tasks() - t.keys);
    }
  }
}

}  // namespace

Outcome run_experiment(const ExperimentOptions& o, int experts) {
  const TreeTasks t = generator_of(o.folder);
  const data::Corpus corpus = data::Corpus::open(o.folder);
  const std::int64_t there = corpus.tokens(data::Split::train) / 3, samples = o.samples ? o.samples : there;
  check(samples <= there, Exit::usage,
        o.folder + " has " + std::to_string(there) + " samples, not " + std::to_string(samples) + "; generate more");
  const Assignment assignment = assignment_of(t, o.router, experts);
  TableModel model(experts, t.keys, t.answers(), o.rate);
  train(model, t, assignment, corpus, samples);
  return {samples, assignment_loss(t, ideal_assignment(t, experts)), assignment_loss(t, assignment),
          expected_loss(t, assignment, model)};
}

}  // namespace switchyard::laboratory
