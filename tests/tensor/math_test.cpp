// Accuracy against double precision, extremes, and vector lanes against scalar calls.
#include "tensor/math.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

namespace switchyard {
namespace {

using Function = float (*)(float);
using Loop = void (*)(const float*, float*, int);
using Exact = double (*)(double);

/// A loop that the compiler vectorises, and the same function called for one element at a time.
template <float (*function)(float)>
[[gnu::noinline]] void loop(const float* x, float* y, int n) {
  for (int i = 0; i < n; ++i) y[i] = function(x[i]);
}
template <float (*function)(float)>
[[gnu::noinline]] float single(float x) {
  return function(x);
}

struct Case {
  const char* name;
  Function one;
  Loop all;
  Exact exact;
  float first, last;   ///< range of arguments
  double ulp, margin;  ///< allowed error: ulp · |result|'s spacing + margin
};

double logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"exp", single<fast_exp>, loop<fast_exp>, [](double x) { return std::exp(x); }, -103.9f, 88.7f, 1.1, 1e-45},
      {"log", single<fast_log>, loop<fast_log>, [](double x) { return std::log(x); }, 0.0f, 3e38f, 1.5, 0},
      {"log1p", single<fast_log1p>, loop<fast_log1p>, [](double x) { return std::log1p(x); }, 0.0f, 3e38f, 2, 0},
      {"sigmoid", single<sigmoid>, loop<sigmoid>, logistic, -87, 100, 3, 0},
      {"softplus", single<softplus>, loop<softplus>, [](double x) { return x > 40 ? x : std::log1p(std::exp(x)); }, -87,
       100, 3, 0}};
  return all;
}

/// Distance from |x| to the next larger float.
double spacing(double x) {
  const float a = std::fabs(static_cast<float>(x));
  return a < 3e38f ? static_cast<double>(std::nextafter(a, INFINITY)) - a : std::ldexp(1.0, 104);
}

/// Every `stride`-th float of the range, subnormals included.
std::vector<float> arguments(const Case& c, std::uint32_t stride) {
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += stride) {
    const float value = Kokkos::bit_cast<float>(static_cast<std::uint32_t>(bits));
    if (value >= c.first && value <= c.last) x.push_back(value);
  }
  return x;
}

TEST(Math, AccurateOverTheWholeRange) {
  for (const Case& c : cases()) {
    const auto x = arguments(c, 2503);
    ASSERT_GT(x.size(), 1000u);
    std::vector<float> y(x.size());
    c.all(x.data(), y.data(), static_cast<int>(x.size()));
    double worst = 0.0;
    float at = 0.0f;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double exact = c.exact(x[i]);
      if (std::isinf(exact) && exact == y[i]) continue;  // log(0)
      const double error = std::fabs(y[i] - exact) / (c.ulp * spacing(exact) + c.margin);
      if (!(error <= worst)) worst = error, at = x[i];
    }
    EXPECT_LE(worst, 1.0) << c.name << " at " << at;
  }
}

TEST(Math, LanesAreTheScalarTail) {
  std::vector<float> x(48), y(48);
  for (const Case& c : cases())
    for (int n = 1; n <= 40; ++n)
      for (int start = 0; start < 8; ++start) {
        for (int i = 0; i < n; ++i)
          x[start + i] =
              c.first < 0.0f ? std::ldexp(i % 2 ? 1.37f + i : -1.37f - i, (i * 7 + n) % 9 - 6) : 0.01f * (i + n);
        c.all(x.data() + start, y.data(), n);
        for (int i = 0; i < n; ++i) {
          const float one = c.one(x[start + i]);
          ASSERT_EQ(std::memcmp(&one, &y[i], 4), 0) << c.name << "(" << x[start + i] << ") at " << i << " of " << n;
        }
      }
}

/// Vectors of extremes, so that the vectorised loop meets them too.
std::vector<float> apply(Loop all, float x) {
  const std::vector<float> in(19, x);
  std::vector<float> out(19);
  all(in.data(), out.data(), 19);
  return out;
}

TEST(Math, Extremes) {
  const auto expect = [](Loop all, float x, float wanted) {
    for (const float y : apply(all, x)) EXPECT_EQ(y, wanted) << "argument " << x;
  };
  expect(loop<fast_exp>, -INFINITY, 0.0f);
  expect(loop<fast_exp>, -104.0f, 0.0f);
  expect(loop<fast_exp>, 0.0f, 1.0f);
  expect(loop<fast_exp>, 89.0f, INFINITY);
  expect(loop<fast_exp>, INFINITY, INFINITY);
  expect(loop<fast_log>, 0.0f, -INFINITY);
  expect(loop<fast_log>, 1.0f, 0.0f);
  expect(loop<fast_log>, INFINITY, INFINITY);
  expect(loop<fast_log1p>, INFINITY, INFINITY);
  expect(loop<sigmoid>, INFINITY, 1.0f);
  expect(loop<sigmoid>, -INFINITY, 0.0f);
  expect(loop<softplus>, INFINITY, INFINITY);
  expect(loop<softplus>, -INFINITY, 0.0f);
  for (const float y : apply(loop<fast_log>, -1.0f)) EXPECT_TRUE(std::isnan(y));
}

TEST(Math, NotANumberPassesThrough) {
  for (const Case& c : cases())
    for (const float y : apply(c.all, NAN)) EXPECT_TRUE(std::isnan(y)) << c.name;
}

}  // namespace
}  // namespace switchyard
