// Gradients of the small networks in double precision against finite differences, and their steps.
#include "laboratory/mlp.hpp"

#include <gtest/gtest.h>

namespace {

using namespace switchyard::laboratory;

constexpr MlpShape shape{5, 7, 11};
const std::vector<double> x{0.3, -1.2, 0.0, 0.8, 2.0};

/// Cross-entropy with logits multiplied by gate, by plain sums over the weights' row.
double plain_loss(const std::vector<double>& w, int answer, double gate) {
  std::vector<double> logits(11, 0.0);
  for (int j = 0; j < 7; ++j) {
    double h = w[35 + j];
    for (int i = 0; i < 5; ++i) h += x[i] * w[i * 7 + j];
    for (int a = 0; a < 11; ++a) logits[a] += std::max(h, 0.0) * w[42 + j * 11 + a];
  }
  double sum = 0.0;
  for (const double z : logits) sum += std::exp(gate * z);
  return std::log(sum) - gate * logits[answer];
}

TEST(Mlp, GradientsAreFiniteDifferences) {
  ASSERT_EQ(shape.parameters(), 5 * 7 + 7 + 7 * 11);
  for (const double gate : {1.0, 0.4}) {
    Mlp<double> model(shape, 3, 1);
    std::vector<double> w = model.weights();
    const double slope = model.add(x.data(), 4, gate), step = 1e-6;
    EXPECT_NEAR(slope, (plain_loss(w, 4, gate + step) - plain_loss(w, 4, gate - step)) / (2 * step), 1e-8);
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double kept = w[i];
      w[i] = kept + step;
      const double above = plain_loss(w, 4, gate);
      w[i] = kept - step;
      const double below = plain_loss(w, 4, gate);
      w[i] = kept;
      EXPECT_NEAR(model.gradient()[i], (above - below) / (2 * step), 1e-8) << gate << " " << i;
    }
    EXPECT_NEAR(model.loss(x.data(), 4), plain_loss(w, 4, 1.0), 1e-12);
  }
}

// A first step of Adam goes by the rate against the sign of the mean gradient; decay shrinks weights besides.
TEST(Mlp, StepsFollowTheMeanGradient) {
  Mlp<double> model(shape, 3, 1);
  const std::vector<double> before = model.weights();
  model.update(0.01, 0.0);
  EXPECT_EQ(model.weights(), before);  // no samples, no step
  model.add(x.data(), 4), model.add(x.data(), 4);
  const std::vector<double> g = model.gradient();
  model.update(0.01, 0.1);
  for (std::size_t i = 0; i < before.size(); ++i) {
    const double m = g[i] / 2, expected = before[i] * (1 - 0.01 * 0.1) - 0.01 * m / (std::abs(m) + 1e-8);
    EXPECT_NEAR(model.weights()[i], expected, 1e-12) << i;
    EXPECT_EQ(model.gradient()[i], 0.0);
  }
}

TEST(Mlp, SeedsAndExpertsDrawOtherWeights) {
  Mlp<float> a(shape, 3, 1), same(shape, 3, 1), seed(shape, 4, 1), expert(shape, 3, 2);
  EXPECT_EQ(a.weights(), same.weights());
  EXPECT_NE(a.weights(), seed.weights());
  EXPECT_NE(a.weights(), expert.weights());
}

TEST(Mlp, FloatsFollowDoubles) {
  Mlp<double> exact(shape, 3, 1);
  Mlp<float> model(shape, 3, 1);
  const std::vector<float> y(x.begin(), x.end());
  EXPECT_NEAR(model.add(y.data(), 4, 0.7f), exact.add(x.data(), 4, 0.7), 1e-5);
  for (std::size_t i = 0; i < exact.gradient().size(); ++i)
    EXPECT_NEAR(model.gradient()[i], exact.gradient()[i], 1e-5) << i;
}

}  // namespace
