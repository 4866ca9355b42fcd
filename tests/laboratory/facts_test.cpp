// T2: what is drawn, its token file, and both ends of what an expert can hold.
#include "laboratory/facts.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/check.hpp"
#include "data/corpus.hpp"
#include "laboratory/experiment.hpp"
#include "laboratory/generate.hpp"
#include "support/folder.hpp"

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

// science.md, 7.4: the formula's 2.44 and 3.30 at ρ about 0.64 and 1.28 (0.645 and 1.285), and 0 below capacity.
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

}  // namespace
