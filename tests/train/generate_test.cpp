// Text continued by models whose next token is known: from the double reference where the most probable one is taken,
// and by how often each is drawn from logits that are the same everywhere.
#include "train/generate.hpp"

#include <gtest/gtest.h>

#include <array>

#include "checkpoint/checkpoint.hpp"
#include "data/support.hpp"
#include "reference/transformer.hpp"
#include "support/parameters.hpp"
#include "support/refusal.hpp"
#include "support/values.hpp"
#include "train/machine.hpp"

namespace switchyard::train {
namespace {

using Ids = std::vector<std::int32_t>;

/// A run on a corpus of bytes, of a model with three rows more than the corpus has tokens.
class Generate : public testing::Test {
 protected:
  Generate() : corpus_(data::Corpus::open(data::small_corpus(folder_, 12))) {
    config_.model = {.vocabulary = 260, .width = 16, .blocks = 2, .heads = 2, .context = 6, .hidden = 24};
    config_.model.tied = false, config_.model.init_std = 0.3;
    config_.moe.experts = 0;
    config_.data.path = corpus_.path();
  }
  Machine machine(std::uint64_t seed) const {
    Config config = config_;
    config.train.seed = seed;
    return {config, comm::Communicator::duplicate(MPI_COMM_SELF)};
  }
  void save(const Machine& m, std::int64_t step) const {
    checkpoint::save_checkpoint(run(), config_, m.groups, m.parameters,
                                {step, 0, {}, corpus_.manifest_sha256(), "", 0});
  }
  std::string run() const { return folder_ / "run"; }
  std::string text(const Prompt& prompt) const { return generate(run(), config_, prompt); }

  /// Logits after `ids`, by the definition: a model of as many positions as it sees tokens.
  reference::Doubles logits(const Machine& m, const Ids& ids) const {
    reference::Weights weights;
    for (const Parameter& p : m.parameters.all()) {
      const auto values = test::read_units(m.parameters.values(p.placement).data(), p);
      weights[p.name] = reference::Doubles(values.begin(), values.end());
    }
    Config config = config_;
    config.model.context = static_cast<int>(std::min<std::size_t>(6, ids.size()));
    const auto all = reference::logits(config, weights, {ids.end() - config.model.context, ids.end()});
    return {all.end() - 260, all.end() - 3};
  }
  std::string most_probable(const Machine& m, Ids ids, int tokens) const {
    for (int i = 0; i < tokens; ++i) {
      const auto l = logits(m, ids);
      ids.push_back(static_cast<std::int32_t>(std::max_element(l.begin(), l.end()) - l.begin()));
    }
    return corpus_.decode(ids);
  }

  test::Folder folder_;
  data::Corpus corpus_;
  Config config_;
};

// Prompts shorter and longer than the context of 6, and none, which starts a document.
TEST_F(Generate, TakesTheMostProbableTokenAfterTheLastOfTheContext) {
  const Machine m = machine(5);
  save(m, 1);
  for (const char* prompt : {"", "a", "abcdef", "a longer prompt, π"}) {
    Ids ids = corpus_.encode(prompt);
    if (ids.empty()) ids = {corpus_.end_token()};
    const std::string expected = most_probable(m, ids, 25);
    for (const double temperature : {0.0, 1e-300})
      EXPECT_EQ(text({prompt, 25, temperature, 3}), expected) << prompt << ", temperature " << temperature;
  }
  EXPECT_EQ(text({"as it is", 0}), "as it is");
}

/// χ² of the drawn tokens less its mean, in its standard deviations; the rarest tokens are one class.
double surprise(std::array<int, 257> count, const reference::Doubles& logits, double temperature, int draws) {
  reference::Doubles p;
  double sum = 0.0, statistic = 0.0, rare = 0.0, rare_count = 0.0;
  for (const double l : logits) p.push_back(std::exp(l / temperature)), sum += p.back();
  int classes = 0;
  const auto add = [&](double seen, double wanted) { statistic += std::pow(seen - wanted, 2) / wanted, ++classes; };
  for (std::size_t id = 0; id < p.size(); ++id) {
    const double wanted = p[id] / sum * draws;
    if (wanted >= 5.0)
      add(count[id], wanted);
    else
      rare += wanted, rare_count += count[id];
  }
  if (rare > 0.0) add(rare_count, rare);
  return (statistic - (classes - 1)) / std::sqrt(2.0 * (classes - 1));
}

// All tokens have one embedding, so that every draw is from the same logits. The rows beyond the corpus are the most
// probable ones by far.
TEST_F(Generate, DrawsFromTheSoftmaxOfTheLogitsOverTheTemperature) {
  constexpr int draws = 2500;
  const Machine m = machine(6);
  const auto fill = [&](const char* name, const std::vector<float>& values) {
    test::write_units(m.parameters.values(Placement::replicated).data(), m.parameters[m.parameters.id(name)], values);
  };
  fill("embedding.weight", std::vector<float>(260 * 16, 0.5f));
  std::vector<float> head = test::numbers(260 * 16, 8);
  std::fill(head.end() - 3 * 16, head.end(), 9.0f);
  fill("head.weight", head);
  save(m, 1);
  const auto expected = logits(m, {0});
  for (const double temperature : {0.6, 1.0, 2.0}) {
    const std::string drawn = text({"x", draws, temperature, 11}).substr(1);
    std::array<int, 257> count{};
    for (const char c : drawn) ++count[static_cast<unsigned char>(c)];
    count[256] = draws - static_cast<int>(drawn.size());
    EXPECT_LT(std::abs(surprise(count, expected, temperature, draws)), 5.0) << temperature;
    EXPECT_GT(surprise(count, expected, 1.5 * temperature, draws), 5.0) << "another one is told from it";
  }
  EXPECT_EQ(text({"x", 30, 1.0, 11}), text({"x", 30, 1.0, 11}));
  EXPECT_NE(text({"x", 30, 1.0, 11}), text({"x", 30, 1.0, 12}));
}

TEST_F(Generate, TakesTheNewestCheckpointThatIsSound) {
  const std::string none = test::refusal([&] { text({}); });
  EXPECT_EQ(none, "2 " + run() + " has no checkpoint to generate from; train it first");
  const Machine older = machine(1), newer = machine(2);
  save(older, 9), save(newer, 10);
  const Prompt prompt{"line", 8, 0.0};
  EXPECT_EQ(text(prompt), most_probable(newer, corpus_.encode("line"), 8));
  data::patch_file(run() + "/checkpoints/step-00000010/dense.h5", 5000, "damaged");
  EXPECT_EQ(text(prompt), most_probable(older, corpus_.encode("line"), 8));
  data::patch_file(run() + "/checkpoints/step-00000009/dense.h5", 5000, "damaged");
  EXPECT_TRUE(test::refusal([&] { text(prompt); }).starts_with("4 ")) << "nothing sound is left";
}

TEST_F(Generate, RefusesLogitsThatAreNotFinite) {
  const Machine m = machine(1);
  const Parameter& head = m.parameters[m.parameters.id("head.weight")];
  test::write(m.parameters.values(head.placement).data() + head.offset + 16 * 77, {INFINITY});
  save(m, 1);
  for (const double temperature : {0.0, 1.0})
    EXPECT_EQ(test::refusal([&] {
                text({"a", 1, temperature});
              }),
              "3 the model's logits are not finite; take an older checkpoint");
}

}  // namespace
}  // namespace switchyard::train
