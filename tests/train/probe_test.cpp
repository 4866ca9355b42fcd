// The probe sees every product of a model and no bit that depends on the number of rows: a faulty product in the place
// of the real one is refused.
#include "train/probe.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "config/architecture.hpp"
#include "support/parameters.hpp"
#include "support/refusal.hpp"

namespace switchyard::train {
namespace {

using Shape = std::pair<Index, Index>;  // (N, K) of a weight

/// What is wrong with a product: the last element of a row is the next larger float.
struct Fault {
  bool forward;
  Shape shape;
  Index rows;       ///< of the product that has it
  Index from_last;  ///< which row, from the last one
};

std::map<Shape, std::set<Index>> seen[2];  // rows, by weight, of input gradients and of forward products
const Fault* fault = nullptr;

template <bool is_forward>
void product(const Queue& queue, const products::Segments& segments, const Tensor& x, const products::Weights& w,
             const Tensor& y, products::Write write) {
  (is_forward ? products::forward : products::input_gradient)(queue, segments, x, w, y, write);
  const Shape shape{w.matrix.rows, w.matrix.width};
  seen[is_forward][shape].insert(x.rows);
  if (!fault || fault->forward != is_forward || fault->rows != x.rows || fault->shape != shape) return;
  float* last = y.floats().data() + (y.rows - fault->from_last) * y.width - 1;
  test::write(last, {std::nextafter(test::read(last, 1)[0], INFINITY)});
}

std::string probe(const Config& config, const Fault* with = nullptr) {
  seen[0].clear(), seen[1].clear(), fault = with;
  return test::refusal([&] { probe_products(config, {product<true>, product<false>}); });
}

Config base() {
  Config c;
  c.model = {.vocabulary = 70, .width = 24, .blocks = 3, .heads = 3, .context = 16, .hidden = 40};
  c.moe.experts_per_block = {0, 5, 9}, c.moe.top_k = 2, c.moe.hidden = 20;
  c.train.batch = 8, c.train.grains = 4;
  return c;
}

std::vector<Config> configs() {
  std::vector<Config> all(6, base());
  all[1].model.heads = 6, all[1].model.kv_heads = 2, all[1].model.activation = Activation::swiglu;
  all[2].moe.shared_experts = 3, all[2].model.tied = false;
  all[3].moe.router = RouterKind::noisy_topk, all[3].model.context = 400;  // grains of 800 rows
  all[4].moe.experts_per_block.clear(), all[4].moe.experts = 0, all[4].model.kv_heads = 1;
  all[5].train.batch = 4, all[5].model.context = 5;  // grains of 5 rows, fewer than 7
  return all;
}

/// Matrices that tokens are multiplied by: all but the embedding, which is looked up, unless it is the head too.
std::set<Shape> weights_of(const Config& config) {
  std::set<Shape> all;
  for (const TensorSpec& t : architecture(config))
    if (t.shape.size() >= 2 && (t.role != Role::embedding || config.model.tied))
      all.insert({t.shape[t.shape.size() - 2], t.shape.back()});
  return all;
}

TEST(Probe, SeesEveryProductOfAModelBothWays) {
  for (const Config& config : configs()) {
    EXPECT_EQ(probe(config), "");
    const Index grain = std::min<Index>(512, Index{config.grain_sequences()} * config.model.context);
    for (const bool forward : {false, true}) {
      std::set<Shape> shapes;
      for (const auto& [shape, rows] : seen[forward]) {
        EXPECT_EQ(rows, (std::set<Index>{1, std::min<Index>(7, grain), grain}));
        shapes.insert(shape);
      }
      EXPECT_EQ(shapes, weights_of(config)) << forward;
    }
  }
}

// One last bit in one element of one product: of the rows of a grain, or of fewer.
TEST(Probe, RefusesOtherBitsForOtherRows) {
  const Config config = base();
  for (const Shape& shape : weights_of(config))
    for (const bool forward : {false, true})
      for (const auto& [rows, from_last, told] : {std::array{32, 0, 1}, {32, 6, 7}, {7, 3, 7}, {1, 0, 1}}) {
        const Fault wrong{forward, shape, rows, from_last};
        const std::string why = probe(config, &wrong);
        std::ostringstream what;
        what << " of shape N=" << shape.first << " K=" << shape.second << " gives other bits for M=" << told
             << " than among 32 rows";
        EXPECT_TRUE(why.starts_with("7 a product (")) << why;
        EXPECT_NE(why.find(what.str()), std::string::npos) << why;
      }
}

}  // namespace
}  // namespace switchyard::train
