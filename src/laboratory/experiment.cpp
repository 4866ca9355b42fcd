#include "laboratory/experiment.hpp"

#include <algorithm>
#include <optional>

#include "base/check.hpp"
#include "data/corpus.hpp"
#include "laboratory/generate.hpp"

namespace switchyard::laboratory {
namespace {

constexpr std::int64_t batch = 256;   // samples
constexpr double routed_share = 0.5;  // of the samples, during which a router learns

/// One layer: experts, and who sends tasks to them.
class Layer {
 public:
  Layer(const TreeTasks& t, const ExperimentOptions& o, int experts)
      : tasks_(t.tasks()), keys_(t.keys), experts_(make_experts(t, experts, o.model)) {
    if (o.router == "oracle")
      assignment_ = ideal_assignment(t, experts);
    else if (o.router == "hash")
      assignment_ = hash_assignment(t, experts, t.seed);
    else if (o.router == "learned")
      assignment_ = router_.emplace(t, experts, o.learned).assignment();
    else
      throw Error(Exit::usage, "router " + o.router + " is not known; take oracle, hash or learned");
  }

  /// One batch of n samples of three tokens, after a share `progress` of the training.
  void train(const std::int32_t* tokens, std::int64_t n, double progress) {
    const bool routing = router_ && progress < routed_share;
    for (const std::int32_t* s = tokens; s < tokens + 3 * n; s += 3) {
      const float gate = routing ? static_cast<float>(router_->gate(s[0])) : 1.0f;
      const int expert = assignment_[static_cast<std::size_t>(s[0])];
      const double slope = experts_->train(expert, s[1] - tasks_, s[2] - tasks_ - keys_, gate);
      if (routing) router_->add(s[0], slope);
    }
    experts_->end_batch(progress);
    if (!routing) return;
    router_->update(progress / routed_share);
    router_->choose();
    assignment_ = router_->assignment();
  }

  const Assignment& assignment() const { return assignment_; }
  const Experts& experts() const { return *experts_; }

 private:
  int tasks_, keys_;
  std::unique_ptr<Experts> experts_;
  std::optional<LearnedRouter> router_;
  Assignment assignment_;
};

/// Error{corrupt} unless each sample, the first being `first`, is a task, a key and an answer.
void check_samples(const TreeTasks& t, const std::vector<std::int32_t>& tokens, std::int64_t n, std::int64_t first,
                   const std::string& folder) {
  const auto in = [](std::int32_t token, int low, int count) { return token >= low && token - low < count; };
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int32_t* s = &tokens[static_cast<std::size_t>(3 * i)];
    check(in(s[0], 0, t.tasks()) && in(s[1], t.tasks(), t.keys) && in(s[2], t.tasks() + t.keys, t.answers()),
          Exit::corrupt,
          folder + ": sample " + std::to_string(first + i) + " is not of its generator.json; generate the folder anew");
  }
}

/// Trains on samples of the token file, in their order.
void train(Layer& layer, const TreeTasks& t, const data::Corpus& corpus, std::int64_t samples) {
  std::vector<std::int32_t> tokens(3 * batch);
  for (std::int64_t done = 0; done < samples; done += batch) {
    const std::int64_t n = std::min(batch, samples - done);
    corpus.read(data::Split::train, 3 * done, 3 * n, tokens.data());
    check_samples(t, tokens, n, done, corpus.path());
    layer.train(tokens.data(), n, static_cast<double>(done) / static_cast<double>(samples));
  }
}

}  // namespace

void require_experts(const std::string& folder, int experts) {
  if (holds_facts(folder))
    hash_parts(facts_of(folder), experts);
  else
    ideal_assignment(generator_of(folder), experts);
}

Outcome run_experiment(const ExperimentOptions& o, int experts) {
  const TreeTasks t = generator_of(o.folder);
  const data::Corpus corpus = data::Corpus::open(o.folder);
  const std::int64_t there = corpus.tokens(data::Split::train) / 3, samples = o.samples ? o.samples : there;
  check(samples >= 1 && samples <= there, Exit::usage,
        o.folder + " has " + std::to_string(there) + " samples, not " + std::to_string(samples) +
            "; give a number from 1 to that, or generate more");
  const double ideal = assignment_loss(t, ideal_assignment(t, experts));
  Layer layer(t, o, experts);
  train(layer, t, corpus, samples);
  return {samples, ideal, assignment_loss(t, layer.assignment()), expected_loss(t, layer.assignment(), layer.experts()),
          max_vio(t, layer.assignment(), experts)};
}

}  // namespace switchyard::laboratory
