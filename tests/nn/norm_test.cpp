// RMSNorm against the reference in double.
#include "nn/norm.hpp"

#include "model/support.hpp"
#include "reference/norm.hpp"
#include "support/elements.hpp"
#include "support/queue.hpp"
#include "support/values.hpp"

namespace switchyard {
namespace {

using namespace test;

struct Result {
  Doubles y, copy, dx, dweight;
};

/// Runs both passes; dx starts from `before`.
Result run(const Config& config, const Layout& layout, const Doubles& x, const Doubles& weight, const Doubles& dy,
           const Doubles& before) {
  TensorSpec weights = tensor("norm.weight", {config.model.width});
  weights.init = Init::ones;
  ParameterSet parameters(layout, {weights});
  const nn::Norm norm(parameters, "norm.weight", config.model.norm_epsilon);
  parameters.allocate(test::queue(), 1);
  if (parameters.gradient(0)) copy_in(Doubles(config.model.width, 7.0), parameters.gradient(0));
  copy_in(weight, parameters.value(0));
  const nn::Rows rows = nn::make_rows(config, layout);
  Placed<nn::NormPass> pass("test::norm", rows);
  const Index n = rows.count, d = config.model.width;
  const nn::NormPartials partial{matrix(nn::norm_partials(rows, d), d), {}};
  const auto y = matrix(n, d), copy = matrix(n, d), in = matrix(n, d, x), dx = matrix(n, d, before);
  norm.forward(test::queue(), in, y, *pass, copy);
  norm.backward(test::queue(), rows, matrix(n, d, dy), {dx, dx}, *pass, partial);
  return {values_of(y), values_of(copy), values_of(dx), gradient_of(parameters, 0)};
}

class NormWidth : public testing::TestWithParam<int> {};

TEST_P(NormWidth, AgreesWithReference) {
  Config config = small_config();
  config.model.width = GetParam();
  const std::size_t n = config.step_tokens() * config.model.width;
  const Doubles x = random_values(n, 1), weight = random_values(config.model.width, 2), dy = random_values(n, 3),
                before = random_values(n, 4);
  const Result got = run(config, one_rank(config), x, weight, dy, before);
  Doubles dx, dweight;
  reference::rms_norm_backward(x, weight, config.model.norm_epsilon, dy, dx, dweight);
  for (std::size_t i = 0; i < n; ++i) dx[i] += before[i];
  EXPECT_LT(relative_error(reference::rms_norm(x, weight, config.model.norm_epsilon), got.y), 1e-6);
  EXPECT_EQ(x, got.copy);
  EXPECT_LT(relative_error(dx, got.dx), 3e-6);  // width 1 cancels
  EXPECT_LT(relative_error(dweight, got.dweight), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Widths, NormWidth, testing::Values(1, 15, 16, 24, 64, 130));

TEST(Norm, ReferenceGradientIsTheSlope) {
  const std::size_t d = 6, n = 3 * d;
  Doubles x = random_values(n, 1), weight = random_values(d, 2), dx, dweight;
  const Doubles dy = random_values(n, 3);
  reference::rms_norm_backward(x, weight, 1e-5, dy, dx, dweight);
  const auto objective = [&] {
    const Doubles y = reference::rms_norm(x, weight, 1e-5);
    double sum = 0.0;
    for (std::size_t i = 0; i < n; ++i) sum += y[i] * dy[i];
    return sum;
  };
  const auto slope = [&](double& at) {
    const double before = at, h = 1e-6;
    at = before + h;
    const double up = objective();
    at = before - h;
    const double down = objective();
    at = before;
    return (up - down) / (2 * h);
  };
  for (std::size_t i = 0; i < n; ++i) EXPECT_NEAR(dx[i], slope(x[i]), 1e-7);
  for (std::size_t c = 0; c < d; ++c) EXPECT_NEAR(dweight[c], slope(weight[c]), 1e-7);
}

/// A branch of Bf16: the forward pass rounds what it writes once, the backward pass reads such gradients.
TEST(Norm, OfABranchOfBf16) {
  const Config config = small_config();
  const Layout layout = one_rank(config);
  TensorSpec weights = tensor("norm.weight", {config.model.width});
  weights.init = Init::ones;
  ParameterSet parameters(layout, {weights});
  const nn::Norm norm(parameters, "norm.weight", config.model.norm_epsilon);
  parameters.allocate(test::queue(), 1);
  const nn::Rows rows = nn::make_rows(config, layout);
  Placed<nn::NormPass> pass("test::norm", rows);
  const Index n = rows.count, d = config.model.width;
  const Doubles x = random_values(n * d, 1), weight = random_values(d, 2);
  copy_in(weight, parameters.value(0));
  const std::vector<float> gradient = numbers(n * d, 3);
  Matrix<Bf16> y("test::y", n, d), dy("test::dy", n, d);
  Kokkos::deep_copy(Vector<Bf16>(dy.data(), n * d), elements_of<Bf16>(gradient));
  const auto in = matrix(n, d, x), dx = matrix(n, d);
  const nn::NormPartials partial{matrix(nn::norm_partials(rows, d), d), {}};
  norm.forward(test::queue(), in, y, *pass);
  const Matrix<Bf16> rounded_dx("test::rounded", n, d);
  norm.backward(test::queue(), rows, dy, {dx, rounded_dx}, *pass, partial);
  const std::vector<float> got = floats_of(Vector<Bf16>(y.data(), n * d)),
                           read = floats_of(Vector<Bf16>(dy.data(), n * d));
  const Doubles wanted = reference::rms_norm(x, weight, config.model.norm_epsilon);
  for (Index i = 0; i < n * d; ++i) ASSERT_NEAR(got[i], wanted[i], unit_of<Bf16> * std::abs(wanted[i]) + 1e-6) << i;
  const std::vector<float> sums = floats_of(Vector<float>(dx.data(), n * d)),
                           sums_rounded = floats_of(Vector<Bf16>(rounded_dx.data(), n * d));
  for (Index i = 0; i < n * d; ++i) ASSERT_EQ(sums_rounded[i], rounded<Bf16>(sums[i])) << i;
  Doubles want_dx, want_dweight;
  reference::rms_norm_backward(x, weight, config.model.norm_epsilon, Doubles(read.begin(), read.end()), want_dx,
                               want_dweight);
  EXPECT_LT(relative_error(want_dx, values_of(dx)), 3e-6);
  EXPECT_LT(relative_error(want_dweight, gradient_of(parameters, 0)), 1e-6);
}

TEST(Norm, WorksWithoutRows) {
  const Config config = small_config();
  const Result got = run(config, {8, 0, 1, config.train.grains}, {}, Doubles(config.model.width, 1.0), {}, {});
  EXPECT_TRUE(got.y.empty());
  EXPECT_EQ(got.dweight, Doubles(config.model.width, 0.0));
}

}  // namespace
}  // namespace switchyard
