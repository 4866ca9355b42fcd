// The list of a model's tensors against lists written by hand, and what other parts rely on: every name once, blocks in
// order, blocks of one kind alike, and the numbers of parameters that accounting makes of it.
#include "config/architecture.hpp"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "config/estimate.hpp"

namespace switchyard {
namespace {

Config small() {
  Config c;
  c.model = {.vocabulary = 50, .width = 12, .blocks = 2, .heads = 3, .kv_heads = 1, .context = 8, .hidden = 20};
  c.model.init_std = 0.1;
  c.moe.experts = 5, c.moe.hidden = 7, c.moe.every = 2;
  return c;
}

/// "name shape experts? ones? decay? block deviation adds_to", one line a tensor.
std::string line_of(const TensorSpec& t) {
  std::ostringstream text;
  text << t.name;
  for (const auto n : t.shape) text << ' ' << n;
  if (t.placement == Placement::expert) text << " cut";
  if (t.init == Init::ones) text << " ones";
  if (t.decay) text << " decay";
  text << " in " << t.block;
  if (t.init == Init::normal) text << " std " << t.init_std;
  if (!t.adds_to.empty()) text << " adds to " << t.adds_to;
  return text.str();
}

std::string lines_of(const Config& c) {
  std::string all;
  for (const TensorSpec& t : architecture(c)) all += line_of(t) + "\n";
  return all;
}

TEST(Architecture, ARouterMayBeginWithADeviationOfItsOwn) {
  Config c = small();
  const std::string before = lines_of(c);
  c.moe.router_std = 0.75;
  const std::string line = "blocks.1.moe.router.weight 5 12 decay in 1 std ";
  std::string wanted = before;
  wanted.replace(wanted.find(line), line.size() + 3, line + "0.75");
  EXPECT_EQ(lines_of(c), wanted);
}

TEST(Architecture, TiedWithADenseBlockAndAMixture) {
  EXPECT_EQ(lines_of(small()), R"(embedding.weight 50 12 in -1 std 0.1
embedding.gather 50 12 in -1 std 0.1 adds to embedding.weight
blocks.0.attention_norm.weight 12 ones in 0
blocks.0.attention.q.weight 12 12 decay in 0 std 0.1
blocks.0.attention.k.weight 4 12 decay in 0 std 0.1
blocks.0.attention.v.weight 4 12 decay in 0 std 0.1
blocks.0.attention.o.weight 12 12 decay in 0 std 0.05
blocks.0.feed_forward_norm.weight 12 ones in 0
blocks.0.feed_forward.up.weight 20 12 decay in 0 std 0.1
blocks.0.feed_forward.down.weight 12 20 decay in 0 std 0.05
blocks.1.attention_norm.weight 12 ones in 1
blocks.1.attention.q.weight 12 12 decay in 1 std 0.1
blocks.1.attention.k.weight 4 12 decay in 1 std 0.1
blocks.1.attention.v.weight 4 12 decay in 1 std 0.1
blocks.1.attention.o.weight 12 12 decay in 1 std 0.05
blocks.1.feed_forward_norm.weight 12 ones in 1
blocks.1.moe.router.weight 5 12 decay in 1 std 0.1
blocks.1.moe.experts.up.weight 5 7 12 cut decay in 1 std 0.1
blocks.1.moe.experts.down.weight 5 12 7 cut decay in 1 std 0.05
final_norm.weight 12 ones in 2
)");
}

TEST(Architecture, UntiedGatedNoisyAndShared) {
  Config c = small();
  c.model.blocks = 1, c.model.tied = false, c.model.activation = Activation::swiglu;
  c.moe.every = 1, c.moe.shared_experts = 2, c.moe.router = RouterKind::noisy_topk;
  const std::string text = lines_of(c);
  const auto from = text.find("blocks.0.feed_forward_norm");
  EXPECT_EQ(text.substr(0, text.find('\n')), "embedding.weight 50 12 in -1 std 0.1");
  EXPECT_EQ(text.substr(from), R"(blocks.0.feed_forward_norm.weight 12 ones in 0
blocks.0.moe.router.weight 5 12 decay in 0 std 0.1
blocks.0.moe.router_noise.weight 5 12 decay in 0 std 0.1
blocks.0.moe.experts.gate.weight 5 7 12 cut decay in 0 std 0.1
blocks.0.moe.experts.up.weight 5 7 12 cut decay in 0 std 0.1
blocks.0.moe.experts.down.weight 5 12 7 cut decay in 0 std 0.0707107
blocks.0.moe.shared.gate.weight 14 12 decay in 0 std 0.1
blocks.0.moe.shared.up.weight 14 12 decay in 0 std 0.1
blocks.0.moe.shared.down.weight 12 14 decay in 0 std 0.0707107
final_norm.weight 12 ones in 1
head.weight 50 12 decay in 1 std 0.1
)");
}

TEST(Architecture, AHashRouterHasNoWeights) {
  Config c = small();
  c.moe.router = RouterKind::hash;
  EXPECT_EQ(lines_of(c).find("moe.router"), std::string::npos);
}

TEST(Architecture, NamesOccurOnceAndBlocksAscend) {
  Config c = small();
  c.model.blocks = 7;
  c.moe.experts_per_block = {0, 3, 3, 0, 257, 1, 3};
  std::set<std::string> names;
  int block = -1;
  for (const TensorSpec& t : architecture(c)) {
    EXPECT_TRUE(names.insert(t.name).second) << t.name;
    EXPECT_GE(t.block, block) << t.name;
    block = t.block;
    EXPECT_EQ(t.unit() * t.units(), t.elements()) << t.name;
  }
  EXPECT_EQ(block, 7);
}

TEST(Architecture, UnitsAreFilledUp) {
  EXPECT_EQ(padded_unit(1), 4096);
  EXPECT_EQ(padded_unit(4096), 4096);
  EXPECT_EQ(padded_unit(4097), 8192);
}

TEST(Buckets, TakeBlocksFromTheLastUntilTheyAreLargeEnough) {
  Config c = small();
  EXPECT_EQ(gradient_buckets(c), (std::vector<Range>{{-1, c.model.blocks + 1}}));
  c.model.blocks = 4, c.model.width = 1024, c.model.hidden = 4096, c.moe.experts = 0;  // 12 Mi elements a block
  EXPECT_EQ(gradient_buckets(c), (std::vector<Range>{{3, 5}, {2, 3}, {1, 2}, {0, 1}, {-1, 0}}));
  c.model.width = 128, c.model.hidden = 2048;  // 555 Ki elements a block
  EXPECT_EQ(gradient_buckets(c), (std::vector<Range>{{2, 5}, {0, 2}, {-1, 0}}));
}

/// Without the short cut of blocks that are alike.
TEST(Architecture, AccountingIsASumOverTheList) {
  Config c = small();
  c.model.blocks = 5;
  c.moe.experts_per_block = {0, 3, 3, 0, 257};
  c.moe.top_k = 2, c.moe.shared_experts = 1;
  ModelSize size;
  for (const TensorSpec& t : architecture(c)) {
    if (!t.adds_to.empty()) continue;
    const bool routed = t.placement == Placement::expert;
    (routed ? size.experts : size.replicated) += t.elements();
    size.active += routed ? 2 * t.unit() : t.elements();
  }
  EXPECT_EQ(model_size(c).replicated, size.replicated);
  EXPECT_EQ(model_size(c).experts, size.experts);
  EXPECT_EQ(model_size(c).active, size.active);
}

}  // namespace
}  // namespace switchyard
