// Cross-entropy, z-loss and their gradient against the reference in double.
#include "model/head.hpp"

#include "model/support.hpp"
#include "reference/head.hpp"
#include "support/elements.hpp"
#include "support/queue.hpp"

namespace switchyard {
namespace {

using namespace test;

/// Rows with the memory of their logits.
template <class T>
struct TestRows : model::HeadRows {
  Matrix<T> own;
};

template <class T = float>
TestRows<T> make_head_rows(Index n, Index vocabulary, const Doubles& logits, const std::vector<int>& targets) {
  TestRows<T> rows;
  rows.own = Matrix<T>("logits", n, vocabulary);
  Kokkos::deep_copy(Vector<T>(rows.own.data(), n * vocabulary),
                    elements_of<T>(std::vector<float>(logits.begin(), logits.end())));
  rows.logits = rows.own;
  rows.targets = Vector<std::int32_t>("targets", n);
  Kokkos::deep_copy(rows.targets, HostVector<const std::int32_t>(targets.data(), targets.size()));
  rows.loss = Vector<float>("loss", n);
  rows.log_sum = Vector<float>("log_sum", n);
  rows.predicted = Vector<std::int32_t>("predicted", n);
  rows.memory = Vector<float>("memory", model::head_memory(n, vocabulary, Host().concurrency()));
  rows.token_weight = 0.125f;
  rows.z_weight = 0.03125f;
  return rows;
}

class HeadRow : public testing::TestWithParam<int> {};

TEST_P(HeadRow, AgreesWithReference) {
  const int n = 5, vocabulary = GetParam();
  const Doubles logits = random_values(n * vocabulary, 1, 3.0);
  std::vector<int> targets;
  for (int i = 0; i < n; ++i) targets.push_back(i * 7919 % vocabulary);
  const auto rows = make_head_rows(n, vocabulary, logits, targets);
  head_losses(test::queue(), rows, moe::Pass::evaluate);
  EXPECT_EQ(values_of(rows.own), logits) << "an evaluate pass keeps the logits";
  const Doubles loss = copy_out(rows.loss.data(), n), log_sum = copy_out(rows.log_sum.data(), n);
  head_losses(test::queue(), rows, moe::Pass::train);
  EXPECT_EQ(copy_out(rows.loss.data(), n), loss);
  const Doubles gradient = values_of(rows.own);
  const auto predicted = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), rows.predicted);
  for (int i = 0; i < n; ++i) {
    const Doubles row(logits.begin() + i * vocabulary, logits.begin() + (i + 1) * vocabulary);
    const auto expected = reference::head_row(row, targets[i], 0.125, 0.03125);
    EXPECT_NEAR(loss[i], expected.cross_entropy, 2e-6 * (1 + std::abs(expected.log_sum)));
    EXPECT_NEAR(log_sum[i], expected.log_sum, 2e-6 * (1 + std::abs(expected.log_sum)));
    EXPECT_EQ(predicted(i), expected.predicted);
    const Doubles got(gradient.begin() + i * vocabulary, gradient.begin() + (i + 1) * vocabulary);
    EXPECT_LT(relative_error(expected.gradient, got), 2e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, HeadRow, testing::Values(1, 2, 17, 256, 257, 1000, 4096));

/// Logits of Bf16 are worked as floats, and their gradient is rounded once.
TEST_P(HeadRow, RoundsTheGradientOfBf16Once) {
  const int n = 3, vocabulary = GetParam();
  const std::vector<int> targets(n, vocabulary / 2);
  const auto rows = make_head_rows<Bf16>(n, vocabulary, random_values(n * vocabulary, 1, 3.0), targets);
  const Vector<Bf16> logits(rows.own.data(), n * vocabulary);
  const std::vector<float> before = floats_of(logits);
  head_losses(test::queue(), rows, moe::Pass::evaluate);
  EXPECT_EQ(floats_of(logits), before) << "an evaluate pass keeps the logits";
  const Doubles loss = copy_out(rows.loss.data(), n);
  head_losses(test::queue(), rows, moe::Pass::train);
  EXPECT_EQ(copy_out(rows.loss.data(), n), loss);
  const std::vector<float> gradient = floats_of(logits);
  const auto predicted = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), rows.predicted);
  for (int i = 0; i < n; ++i) {
    const Doubles row(before.begin() + i * vocabulary, before.begin() + (i + 1) * vocabulary);
    const auto expected = reference::head_row(row, targets[i], 0.125, 0.03125);
    EXPECT_NEAR(loss[i], expected.cross_entropy, 3e-6 * (1 + std::abs(expected.log_sum)));
    EXPECT_EQ(predicted(i), expected.predicted);
    for (int c = 0; c < vocabulary; ++c)
      ASSERT_NEAR(gradient[i * vocabulary + c], expected.gradient[c],
                  unit_of<Bf16> * std::abs(expected.gradient[c]) + 1e-6)
          << c;
  }
}

TEST(Head, PredictsTheSmallestOfEquals) {
  Doubles logits(600, 0.0);
  logits[300] = logits[301] = logits[599] = 2.0;
  const auto rows = make_head_rows(1, 600, logits, {0});
  head_losses(test::queue(), rows, moe::Pass::evaluate);
  EXPECT_EQ(Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), rows.predicted)(0), 300);
}

TEST(Head, LargeLogitsStayFinite) {
  Doubles logits(40, -3e4);
  logits[7] = 3e4;
  const auto rows = make_head_rows(1, 40, logits, {7});
  head_losses(test::queue(), rows, moe::Pass::train);
  EXPECT_EQ(copy_out(rows.loss.data(), 1)[0], 0.0);
}

}  // namespace
}  // namespace switchyard
