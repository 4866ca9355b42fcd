// Row reductions against double precision and against the order they promise.
#include "tensor/lanes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "support/values.hpp"

namespace switchyard {
namespace {

using test::numbers;

/// The promise by its letter: element i in lane i mod 16, lanes added at distance 8, 4, 2, 1.
float sum_by_letter(const std::vector<float>& v) {
  float lane[16] = {};
  for (std::size_t i = 0; i < v.size(); ++i) lane[i % 16] += v[i];
  for (const int half : {8, 4, 2, 1})
    for (int l = 0; l < half; ++l) lane[l] = lane[l] + lane[l + half];
  return lane[0];
}

TEST(Lanes, SumIsTheStatedOrder) {
  for (int n = 0; n <= 100; ++n) {
    const auto v = numbers(n, n);
    EXPECT_EQ(lane_sum(n, [&](int i) { return v[i]; }), sum_by_letter(v)) << n;
  }
}

TEST(Lanes, DotIsNearTheExactOne) {
  for (const int n : {0, 1, 15, 16, 17, 31, 32, 33, 127, 512, 1000}) {
    const auto a = numbers(n, n), b = numbers(n, n + 1);
    double exact = 0.0;
    for (int i = 0; i < n; ++i) exact += static_cast<double>(a[i]) * b[i];
    EXPECT_NEAR(lane_dot(a.data(), b.data(), n), exact, 1e-6 * (n + 1)) << n;
  }
}

TEST(Lanes, DotUsesOneRounding) {
  const float a = 1.0f + 0x1p-12f;
  EXPECT_EQ(lane_dot(&a, &a, 1), std::fma(a, a, 0.0f));
  std::vector<float> x(17, 0.0f), y(17, 0.0f);
  x[0] = -1.0f, y[0] = 1.0f + 0x1p-11f, x[16] = a, y[16] = a;
  EXPECT_EQ(lane_dot(x.data(), y.data(), 17), 0x1p-24f);  // lost if the product is rounded first
}

TEST(Lanes, Maximum) {
  EXPECT_EQ(lane_max(0, [](int) { return 1.0f; }), -INFINITY);
  for (int n = 1; n <= 70; ++n) {
    const auto v = numbers(n, n);
    EXPECT_EQ(lane_max(n, [&](int i) { return v[i]; }), *std::max_element(v.begin(), v.end()));
    EXPECT_EQ(lane_max(n, [&](int i) { return v[i] - 2.0f; }), *std::max_element(v.begin(), v.end()) - 2.0f);
    for (int at = 0; at < n; ++at) EXPECT_EQ(lane_max(n, [&](int i) { return i == at ? 3.0f : -INFINITY; }), 3.0f);
  }
  EXPECT_EQ(lane_max(3, [](int) { return -INFINITY; }), -INFINITY);
}

/// One row an iteration, as kernels use it.
void sums_of_rows(const Matrix<float>& m, const Vector<float>& sums, const Vector<float>& dots,
                  const Vector<float>& tops) {
  const int width = static_cast<int>(m.extent(1));
  Kokkos::parallel_for(
      "lanes_test", Kokkos::RangePolicy<Device>(0, m.extent(0)), KOKKOS_LAMBDA(Index row) {
        const float* x = &m(row, 0);
        sums(row) = lane_sum(width, [=](int i) { return x[i]; });
        dots(row) = lane_dot(x, x, width);
        tops(row) = lane_max(width, [=](int i) { return x[i]; });
      });
}

TEST(Lanes, SameBitsInsideAKernel) {
  const int rows = 5, width = 77;
  const auto values = numbers(rows * width, 3);
  const auto m = make_view<Matrix<float>>("m", rows, width);
  const auto sums = make_view<Vector<float>>("sums", rows), dots = make_view<Vector<float>>("dots", rows),
             tops = make_view<Vector<float>>("tops", rows);
  const auto mirror = Kokkos::create_mirror_view(m);
  std::copy(values.begin(), values.end(), mirror.data());
  Kokkos::deep_copy(m, mirror);
  sums_of_rows(m, sums, dots, tops);
  const auto s = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), sums);
  const auto d = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), dots);
  const auto t = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), tops);
  for (int r = 0; r < rows; ++r) {
    const float* x = values.data() + r * width;
    EXPECT_EQ(s(r), lane_sum(width, [=](int i) { return x[i]; }));
    EXPECT_EQ(d(r), lane_dot(x, x, width));
    EXPECT_EQ(t(r), *std::max_element(x, x + width));
  }
}

}  // namespace
}  // namespace switchyard
