// The embedding's gather and its gradient, whose sums must follow the tree of grains whatever the ranks.
#include "model/embedding.hpp"

#include <algorithm>
#include <cmath>
#include <random>

#include "model/support.hpp"
#include "support/queue.hpp"
#include "support/values.hpp"

namespace switchyard {
namespace {

using namespace test;

Config many_grains() {
  Config config = small_config();
  config.train.grains = 15;  // on 2 ranks the second starts at an odd grain and holds a node of four
  config.train.batch = 30;
  return config;
}

std::vector<std::int32_t> random_tokens(std::size_t n, int vocabulary) {
  std::mt19937 engine(5);
  std::vector<std::int32_t> tokens(n);
  for (auto& t : tokens) t = std::min<int>(engine() % vocabulary, engine() % vocabulary);
  return tokens;
}

std::vector<float> floats(const Doubles& values) { return {values.begin(), values.end()}; }

/// Gradient of the gather, nodes of all ranks merged; every rank is run in turn.
std::vector<float> gradient(const Config& config, int ranks, const std::vector<std::int32_t>& tokens,
                            const Doubles& dx) {
  std::vector<TreeNode> nodes;
  std::vector<std::vector<float>> parts;
  const Index width = config.model.width;
  for (int rank = 0; rank < ranks; ++rank) {
    const Layout layout{ranks, rank, 1, config.train.grains};
    const nn::Rows rows = nn::make_rows(config, layout);
    const Index first = layout.my_grains().first * config.grain_sequences() * config.model.context;
    ParameterSet parameters(layout, architecture(config));
    const model::Embedding embedding(parameters);
    parameters.allocate(test::queue(), 1);
    Placed<model::DeviceIndex> index("test::index", rows.count);
    const Doubles mine(dx.begin() + first * width, dx.begin() + (first + rows.count) * width);
    const auto device = matrix(rows.count, width, mine);
    embedding.take_tokens(test::queue(), rows, {tokens.begin() + first, tokens.begin() + first + rows.count}, *index);
    embedding.backward(test::queue(), rows, *index, device);
    const int id = parameters.find("embedding.gather");
    for (std::size_t t = 0; t < rows.nodes.size(); ++t)
      parts.push_back(
          floats(copy_out(parameters.gradient(id) + t * parameters.gradient_stride(id), parameters[id].unit)));
    nodes.insert(nodes.end(), rows.nodes.begin(), rows.nodes.end());
  }
  for (const auto& [into, from] : tree_additions(nodes))
    for (std::size_t i = 0; i < parts[0].size(); ++i) parts[into][i] += parts[from][i];
  return parts[0];
}

/// The definition: a chain from +0 per grain, then the tree over all grains, absent ones as +0.
std::vector<float> expected_gradient(const Config& config, const std::vector<std::int32_t>& tokens, const Doubles& dx) {
  const std::size_t width = config.model.width, grain = tokens.size() / config.train.grains;
  std::vector<float> sum(config.model.vocabulary * width);
  for (std::size_t v = 0; v < sum.size() / width; ++v)
    for (std::size_t c = 0; c < width; ++c) {
      std::vector<float> grains(config.train.grains, 0.0f);
      for (std::size_t i = 0; i < tokens.size(); ++i)
        if (tokens[i] == static_cast<int>(v)) grains[i / grain] += static_cast<float>(dx[i * width + c]);
      sum[v * width + c] = tree_sum(grains);
    }
  return sum;
}

TEST(Embedding, GradientFollowsTheTreeOnAnyLayout) {
  const Config config = many_grains();
  const auto tokens = random_tokens(config.step_tokens(), config.model.vocabulary);
  const Doubles dx = random_values(tokens.size() * config.model.width, 1);
  const auto expected = expected_gradient(config, tokens, dx);
  for (const int ranks : {1, 2, 3, 4, 5, 8, 15, 17}) EXPECT_EQ(gradient(config, ranks, tokens, dx), expected) << ranks;
}

/// Rows of the table that `ids` name, from weights of an element, and the table's values.
std::pair<Doubles, Doubles> gathered(const std::vector<std::int32_t>& tokens, Element element) {
  const Config config = small_config();
  ParameterSet parameters(one_rank(config), architecture(config), element);
  const model::Embedding embedding(parameters);
  parameters.allocate(test::queue(), 1);
  const auto x = matrix(static_cast<Index>(tokens.size()), config.model.width);
  embedding.forward(test::queue(), on_device(tokens), x);
  return {values_of(x), copy_out(parameters.value(0), parameters[0].unit)};
}

TEST(Embedding, GathersRows) {
  const Config config = small_config();
  const auto tokens = random_tokens(config.step_tokens(), config.model.vocabulary);
  const std::size_t width = config.model.width;
  const auto [whole, weight] = gathered(tokens, Element::f32);
  const auto [rough, same] = gathered(tokens, Element::bf16);
  ASSERT_EQ(weight, same);
  std::size_t differ = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const double value = weight[tokens[i / width] * width + i % width];
    ASSERT_EQ(whole[i], value);
    ASSERT_NEAR(rough[i], value, std::abs(value) / 256) << "half of the last of eight bits";
    differ += rough[i] != value;
  }
  EXPECT_GT(differ, whole.size() / 2) << "rounded values are read";
}

TEST(Embedding, DeclaresTheGatherOnlyWhereTied) {
  Config config = small_config();
  const ParameterSet tied(one_rank(config), architecture(config));
  config.model.tied = false;
  const ParameterSet untied(one_rank(config), architecture(config));
  EXPECT_EQ(tied[tied.find("embedding.gather")].adds_to, "embedding.weight");
  EXPECT_EQ(untied.find("embedding.gather"), -1);
  EXPECT_FALSE(tied[0].decay);
  EXPECT_FALSE(untied[0].decay);
}

}  // namespace
}  // namespace switchyard
