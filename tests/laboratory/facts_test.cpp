// T2: what is drawn, its token file, and both ends of what an expert can hold.
#include "laboratory/facts.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <set>
#include <tuple>

#include "base/check.hpp"
#include "data/corpus.hpp"
#include "laboratory/experiment.hpp"
#include "laboratory/generate.hpp"
#include "laboratory/mlp.hpp"
#include "laboratory/random.hpp"
#include "support/folder.hpp"
#include "support/refusal.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::laboratory;

TEST(Facts, KeysAreNormalAndAnswersUniform) {
  const Facts facts{.facts = 4000, .values = 8, .seed = 3};
  double sum = 0.0, squares = 0.0, fourth = 0.0;
  std::vector<double> count(8, 0.0);
  std::set<float> firsts;
  for (int i = 0; i < facts.facts; ++i) {
    float key[Facts::dimension];
    facts.key(i, key);
    for (const float k : key) sum += k, squares += k * k, fourth += std::pow(k, 4.0);
    firsts.insert(key[0]);
    count.at(static_cast<std::size_t>(facts.answer(i))) += 1;
  }
  const double n = 4000.0 * Facts::dimension;
  EXPECT_NEAR(sum / n, 0.0, 5 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1.0, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(fourth / n, 3.0, 5 * std::sqrt(96 / n));
  EXPECT_GT(firsts.size(), 3990u);  // each its own
  for (const double c : count) EXPECT_NEAR(c, 500.0, 5 * std::sqrt(500.0));
}

TEST(Facts, EveryFactHasOneExpert) {
  const Facts facts{.facts = 103, .seed = 5};
  std::set<int> seen;
  for (const std::vector<int>& part : hash_parts(facts, 4)) {
    EXPECT_GE(part.size(), 25u);
    EXPECT_LE(part.size(), 26u);
    seen.insert(part.begin(), part.end());
  }
  EXPECT_EQ(seen.size(), 103u);
  EXPECT_NE(hash_parts(facts, 4), hash_parts({.facts = 103, .seed = 6}, 4));
  EXPECT_THROW(hash_parts(facts, 104), Error);
}

// docs/science.md, "Facts": the formula's 2.44 and 3.30 at ρ = 0.645 and 1.285, and 0 below capacity.
TEST(Facts, LossAboveCapacity) {
  EXPECT_NEAR(capacity_loss(64, 0.645), 2.44, 0.005);
  EXPECT_NEAR(capacity_loss(64, 1.285), 3.30, 0.005);
  EXPECT_EQ(capacity_loss(64, 0.2), 0.0);
}

struct Few {
  test::Folder folder;
  std::string path = folder / "t2";
  Few() { generate({.shape = "facts", .values = 16, .facts = 240, .seed = 2, .out = path}); }
};

TEST(Facts, TokensAreNumbersAndAnswers) {
  const Few few;
  const data::Corpus corpus = data::Corpus::open(few.path);
  const Facts facts = facts_of(few.path);
  ASSERT_EQ(corpus.tokens(data::Split::train), 480);
  std::vector<std::int32_t> tokens(480);
  corpus.read(data::Split::train, 0, 480, tokens.data());
  for (int i = 0; i < 240; ++i) {
    EXPECT_EQ(tokens[2 * i], i);
    EXPECT_EQ(tokens[2 * i + 1], 240 + facts.answer(i));
  }
  EXPECT_EQ(corpus.tokens(data::Split::validation), 4);
}

// Few facts are learned by heart, too many leave chance: what they are worth is known at both ends, and the same seed
// gives the same bytes.
TEST(Facts, AnExpertHoldsFewFactsAndNotMany) {
  const Few few;
  const FactsOutcome all = run_facts({.folder = few.path, .hidden = 16, .exposures = 400}, 2);
  EXPECT_DOUBLE_EQ(all.density, 240.0 / (2 * 16 * (32 + 1 + 16)));
  EXPECT_LT(all.loss, 0.05);
  EXPECT_EQ(all.loss, run_facts({.folder = few.path, .hidden = 16, .exposures = 400}, 2).loss);
  test::Folder folder;
  generate({.shape = "facts", .values = 16, .facts = 20000, .seed = 2, .out = folder / "many"});
  const FactsOutcome many = run_facts({.folder = folder / "many", .hidden = 1, .exposures = 10}, 1);
  EXPECT_GT(many.density, 400.0);
  EXPECT_NEAR(many.loss, std::log(16.0), 0.02);
}

TEST(Facts, RefusesWhatDoesNotFit) {
  const Few few;
  test::Folder folder;
  EXPECT_THROW(generate({.shape = "facts", .facts = 50200, .out = folder / "a"}), Error);
  EXPECT_THROW(generate({.shape = "facts", .facts = 0, .out = folder / "a"}), Error);
  EXPECT_THROW(run_facts({.folder = few.path}, 241), Error);
  EXPECT_THROW(run_facts({.folder = folder / "none"}, 1), Error);
  EXPECT_THROW(run_experiment({.folder = few.path}, 1), Error);  // no tree there
  generate({.tasks = 2, .samples = 10, .out = folder / "tree"});
  EXPECT_THROW(run_facts({.folder = folder / "tree"}, 1), Error);
}

// Batches of 16 in the order that is drawn for each pass and expert, Adam as its paper writes it, the rate falling from
// the middle on; gradients are those of Mlp<double>, which mlp_test compares with finite differences.
TEST(Facts, TrainingIsThePlainRecomputation) {
  const Few few;
  const Facts facts = facts_of(few.path);
  for (const auto& [experts, exposures, hidden] : {std::tuple{1, 3, 5}, std::tuple{7, 8, 4}, std::tuple{240, 5, 2}}) {
    double sum = 0.0;
    std::uint32_t expert = 0;
    for (const std::vector<int>& part : hash_parts(facts, experts)) {
      Mlp<double> model({32, hidden, 16}, facts.seed, static_cast<int>(expert));
      const auto visit = [&](int fact, auto work) {
        float key[32];
        facts.key(fact, key);
        return work(std::vector<double>(key, key + 32).data(), facts.answer(fact));
      };
      std::vector<double>&w = model.weights(), m(w.size(), 0.0), v(m);
      int steps = 0;
      const auto n = part.size();
      for (int pass = 0; pass < exposures; ++pass) {
        const auto order = permutation(static_cast<int>(n), facts.seed, static_cast<std::uint32_t>(pass) + 1, expert);
        for (std::size_t first = 0; first < n; first += 16) {
          const std::size_t last = std::min(first + 16, n);
          for (std::size_t i = first; i < last; ++i)
            visit(part[static_cast<std::size_t>(order[i])],
                  [&](const double* x, int answer) { return model.add(x, answer); });
          const std::vector<double> g = model.gradient();
          model.update(0.0, 0.0);  // no step, only a fresh gradient
          const double done = (pass + double(last - 1) / double(n)) / exposures;
          const double rate = 0.016 / std::sqrt(hidden) * (done < 0.5 ? 1.0 : 2.0 - 2.0 * done);
          ++steps;
          for (std::size_t i = 0; i < w.size(); ++i) {
            const double mean = g[i] / double(last - first);
            m[i] = 0.9 * m[i] + 0.1 * mean, v[i] = 0.999 * v[i] + 0.001 * mean * mean;
            w[i] -= rate * m[i] / (1 - std::pow(0.9, steps)) / (std::sqrt(v[i] / (1 - std::pow(0.999, steps))) + 1e-8);
          }
        }
      }
      for (const int fact : part)
        sum += visit(fact, [&](const double* x, int answer) { return model.loss(x, answer); });
      ++expert;
    }
    const FactsOutcome found = run_facts({.folder = few.path, .hidden = hidden, .exposures = exposures}, experts);
    EXPECT_NEAR(found.loss, sum / 240, 2e-4) << experts;
    EXPECT_EQ(found.facts, 240);
    EXPECT_DOUBLE_EQ(found.ideal, capacity_loss(16, 240.0 / (experts * (32 + 1 + 16) * hidden)));
  }
}

TEST(Facts, AsManyExpertsAsFactsCanHave) {
  const Few few;
  for (const int experts : {-1, 0, 241})
    for (const auto& work : {std::function([&] { require_experts(few.path, experts); }),
                             std::function([&] { run_facts({.folder = few.path}, experts); })})
      EXPECT_TRUE(test::refusal(work).starts_with("2 " + std::to_string(experts) + " experts")) << experts;
  for (const int experts : {1, 240}) EXPECT_NO_THROW(require_experts(few.path, experts));
}

}  // namespace
