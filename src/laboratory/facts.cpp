#include "laboratory/facts.hpp"

#include <cmath>

#include "base/check.hpp"
#include "data/corpus.hpp"
#include "laboratory/generate.hpp"
#include "laboratory/mlp.hpp"
#include "laboratory/random.hpp"

namespace switchyard::laboratory {
namespace {

constexpr int batch = 16;  // facts

/// What an expert learns: keys (n × dimension) and answers (n).
struct Lesson {
  std::vector<float> keys;
  std::vector<int> answers;
  const float* key(int i) const { return &keys[static_cast<std::size_t>(i) * Facts::dimension]; }
};

/// The facts of one expert; answers are the token file's.
Lesson lesson_of(const Facts& facts, const std::vector<int>& part, const data::Corpus& corpus) {
  Lesson lesson{std::vector<float>(part.size() * Facts::dimension), {}};
  for (std::size_t i = 0; i < part.size(); ++i) {
    std::int32_t tokens[2];
    corpus.read(data::Split::train, 2 * std::int64_t{part[i]}, 2, tokens);
    const int answer = tokens[1] - facts.facts;
    check(tokens[0] == part[i] && answer >= 0 && answer < facts.values, Exit::corrupt,
          corpus.path() + ": fact " + std::to_string(part[i]) + " is not in place; generate the folder anew");
    facts.key(part[i], &lesson.keys[i * Facts::dimension]);
    lesson.answers.push_back(answer);
  }
  return lesson;
}

/// Sum of the losses of an expert's facts after its training.
double train(Mlp<float>& model, const Lesson& lesson, const FactsOptions& o, std::uint64_t seed, int expert) {
  const int n = static_cast<int>(lesson.answers.size());
  const double rate = o.rate > 0.0 ? o.rate : 0.016 / std::sqrt(o.hidden);
  for (int pass = 0; pass < o.exposures; ++pass) {
    const std::vector<int> order =
        permutation(n, seed, static_cast<std::uint32_t>(pass) + 1, static_cast<std::uint32_t>(expert));
    for (int i = 0; i < n; ++i) {
      const int fact = order[static_cast<std::size_t>(i)];
      model.add(lesson.key(fact), lesson.answers[static_cast<std::size_t>(fact)]);
      if (i + 1 == n || (i + 1) % batch == 0)
        model.update(rate * annealed((pass + static_cast<double>(i) / n) / o.exposures), 0.0);
    }
  }
  double sum = 0.0;
  for (int i = 0; i < n; ++i) sum += model.loss(lesson.key(i), lesson.answers[static_cast<std::size_t>(i)]);
  return sum;
}

}  // namespace

void Facts::key(int fact, float* out) const {
  for (int i = 0; i < dimension; ++i)
    out[i] = static_cast<float>(
        normal(seed, Draw::fact_key, static_cast<std::uint32_t>(fact), static_cast<std::uint32_t>(i), 0));
}

int Facts::answer(int fact) const {
  return below(block(seed, Draw::fact_answer, static_cast<std::uint32_t>(fact)).v[0], values);
}

std::vector<std::vector<int>> hash_parts(const Facts& facts, int experts) {
  check(experts >= 1 && experts <= facts.facts, Exit::usage,
        std::to_string(experts) + " experts cannot hold " + std::to_string(facts.facts) +
            " facts; give a number from 1 to that");
  std::vector<std::vector<int>> parts(static_cast<std::size_t>(experts));
  const std::vector<int> order = permutation(facts.facts, facts.seed);
  for (std::size_t i = 0; i < order.size(); ++i) parts[i % parts.size()].push_back(order[i]);
  return parts;
}

double capacity_loss(int values, double density) {
  constexpr double bits_a_parameter = 1.6;
  return std::max(0.0, std::log(values) - bits_a_parameter * std::log(2.0) / density);
}

FactsOutcome run_facts(const FactsOptions& o, int experts) {
  const Facts facts = facts_of(o.folder);
  const data::Corpus corpus = data::Corpus::open(o.folder);
  const MlpShape shape{Facts::dimension, o.hidden, facts.values};
  double sum = 0.0;
  int expert = 0;
  for (const std::vector<int>& part : hash_parts(facts, experts)) {
    Mlp<float> model(shape, facts.seed, expert);
    sum += train(model, lesson_of(facts, part, corpus), o, facts.seed, expert++);
  }
  const double density = static_cast<double>(facts.facts) / (static_cast<double>(experts) * shape.parameters());
  return {facts.facts, density, sum / facts.facts, capacity_loss(facts.values, density)};
}

}  // namespace switchyard::laboratory
