// Products against scalar chains, bit for bit on the host (contract C1). Run with any OMP_NUM_THREADS.
#include "tensor/products/products.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <sstream>

#include "reference/product.hpp"
#include "support/queue.hpp"
#include "support/values.hpp"

namespace switchyard {
namespace {

using test::numbers;
using Values = std::vector<float>;

Matrix<float> to_device(const Values& v, Index rows, Index width) {
  auto view = make_view<Matrix<float>>("test", rows, width);
  Kokkos::deep_copy(view, HostMatrix<const float>(v.data(), rows, width));
  return view;
}

/// Bits where the device is the host; cuBLAS sums in an order of its own.
void expect_same(const Values& got, const Values& wanted, const std::string& what) {
  ASSERT_EQ(got.size(), wanted.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (on_host)
      ASSERT_EQ(std::memcmp(&got[i], &wanted[i], 4), 0)
          << what << " element " << i << ": " << got[i] << " for " << wanted[i];
    else
      ASSERT_NEAR(got[i], wanted[i], 1e-4f) << what << " element " << i;
  }
}

struct Shape {
  std::vector<Index> rows;
  Index n, k;
  std::string text() const {
    std::ostringstream s;
    s << "N=" << n << " K=" << k << " rows";
    for (const Index r : rows) s << " " << r;
    return s.str();
  }
  std::vector<Index> offsets() const {
    std::vector<Index> o{0};
    for (const Index r : rows) o.push_back(o.back() + r);
    return o;
  }
};

using Product = void (*)(const Queue&, const products::Segments&, const Tensor&, const products::Weights&,
                         const Tensor&, products::Write);
using Reference = Values (*)(Index, Index, Index, const float*, const float*);

void check_product(const Shape& s, Product product, Reference reference, Index in, Index out) {
  const auto offsets = s.offsets();
  const Index count = static_cast<Index>(s.rows.size()), rows = offsets.back();
  const Values x = numbers(rows * in, 1), w = numbers(count * s.n * s.k, 2), before = numbers(rows * out, 3);
  Values wanted, sum = before;
  for (Index e = 0; e < count; ++e) {
    const Values part = reference(s.rows[e], s.n, s.k, x.data() + offsets[e] * in, w.data() + e * s.n * s.k);
    wanted.insert(wanted.end(), part.begin(), part.end());
  }
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += wanted[i];
  const auto dx = to_device(x, rows, in), all_w = to_device(w, count * s.n, s.k), y = to_device(before, rows, out);
  const products::Weights dw{Tensor(all_w).part(0, s.n), s.n * s.k};
  product(test::queue(), products::SegmentTable(offsets), dx, dw, y, products::Write::add);
  expect_same(host_values(y), sum, "add " + s.text());
  product(test::queue(), products::SegmentTable(offsets), dx, dw, y, products::Write::replace);
  expect_same(host_values(y), wanted, "replace " + s.text());
}

void check_both(const Shape& s) {
  check_product(s, products::forward, reference::forward, s.k, s.n);
  check_product(s, products::input_gradient, reference::input_gradient, s.n, s.k);
}

/// `rows` holds rows of network e and grain g at e·grains + g; the grains start at `first`.
void check_weight_gradient(int networks, int first, int grains, const Shape& s) {
  const auto offsets = s.offsets();
  const auto nodes = tree_nodes(first, first + grains);
  const Values dy = numbers(offsets.back() * s.n, 4), x = numbers(offsets.back() * s.k, 5);
  const Index matrix = s.n * s.k, stride = networks * matrix + (matrix % 16 == 0 ? 16 : 7);
  const auto dw = to_device(Values(nodes.size() * stride, 99.0f), static_cast<Index>(nodes.size()), stride);
  const auto ddy = to_device(dy, offsets.back(), s.n), dx = to_device(x, offsets.back(), s.k);
  products::weight_gradient(test::queue(), {products::SegmentTable(offsets), networks, grains, &nodes}, ddy, dx,
                            {dw.data(), stride, matrix});
  Values wanted(nodes.size() * stride, 99.0f);
  for (std::size_t t = 0; t < nodes.size(); ++t)
    for (int e = 0; e < networks; ++e) {
      const Index* node_offsets = offsets.data() + e * grains + nodes[t].first - first;
      const Values part = reference::weight_gradient(nodes[t], node_offsets, s.n, s.k, dy.data(), x.data());
      std::copy(part.begin(), part.end(), wanted.begin() + t * stride + e * matrix);
    }
  expect_same(host_values(dw), wanted, "weight gradient " + s.text());
}

TEST(Products, RowsOfEveryTileHeight) {
  for (const Index m : {0, 1, 2, 3, 5, 6, 7, 8, 9, 13, 16, 17, 18, 24, 65})
    for (const Index n : {1, 3, 31, 33})
      for (const Index k : {1, 7, 33}) check_both({{m}, n, k});
}

TEST(Products, OddAndLargeMatrices) {
  for (const Index m : {1, 7, 16, 17, 65})
    for (const auto& [n, k] :
         std::vector<std::pair<Index, Index>>{{127, 130}, {130, 127}, {512, 31}, {31, 512}, {128, 512}})
      check_both({{m}, n, k});
}

TEST(Products, DepthInSeveralBlocks) {
  check_both({{40}, 530, 1100});
  check_both({{9}, 1030, 515});
  check_both({{200}, 17, 1025});
}

TEST(Products, ManyRows) { check_both({{1000}, 70, 40}); }

TEST(Products, NothingToSum) { check_both({{3, 4}, 5, 0}); }

TEST(Products, GroupsSomeEmpty) {
  check_both({{0, 5, 0, 0, 20, 1, 0}, 33, 31});
  check_both({{16, 3, 17, 0, 64}, 130, 127});
  check_both({{0, 0, 0}, 8, 8});
  Shape many{{}, 24, 40};
  for (Index e = 0; e < 257; ++e) many.rows.push_back(e * 7 % 5);
  check_both(many);
}

TEST(Products, WeightGradientOfGrains) {
  for (const int grains : {1, 2, 3, 5, 8}) {
    Shape s{{}, 31, 33};
    for (int i = 0; i < 3 * grains; ++i) s.rows.push_back(i * 5 % 4);
    check_weight_gradient(3, 0, grains, s);
    for (Index& r : s.rows) r *= 19;
    check_weight_gradient(3, 0, grains, s);
  }
}

TEST(Products, WeightGradientOfPartOfTheGrains) {
  check_weight_gradient(1, 3, 5, {{4, 1, 7, 2, 3}, 127, 130});  // nodes {3}, {4 … 7}
  check_weight_gradient(2, 1, 2, {{4, 1, 7, 0}, 3, 17});        // nodes {1}, {2}
  check_weight_gradient(1, 6, 6, {{0, 0, 0, 4, 0, 0}, 20, 8});  // nodes {6, 7}, {8 … 11}
  check_weight_gradient(2, 5, 2, {{300, 400, 0, 700}, 19, 21});
}

TEST(Products, WeightGradientShapes) {
  for (const Index n : {1, 3, 31, 33, 127, 130, 512})
    for (const Index k : {1, 3, 33, 130}) check_weight_gradient(1, 0, 4, {{9, 0, 16, 65}, n, k});
}

TEST(Products, WeightGradientOfManyRows) {
  check_weight_gradient(1, 0, 4, {{256, 256, 100, 600}, 70, 40});
  check_weight_gradient(2, 0, 3, {{0, 0, 0, 256, 0, 257}, 130, 150});
  check_weight_gradient(1, 0, 1, {{513}, 100, 300});
}

TEST(Products, WeightGradientOfManyExperts) {
  Shape s{{}, 24, 40};
  for (Index i = 0; i < 257 * 8; ++i) s.rows.push_back(i * 7 % 3);
  check_weight_gradient(257, 0, 8, s);
}

/// Larger than the caches, where results bypass them.
TEST(Products, WeightGradientOfManyLargeExperts) {
  Shape s{{}, 260, 256};
  for (Index i = 0; i < 33 * 3; ++i) s.rows.push_back(i * 7 % 3);
  check_weight_gradient(33, 1, 3, s);
}

/// A tiny negative product rounds to −0, and stays −0 unless an absent partial, +0, is added to it.
TEST(Products, AbsentPartialIsPlusZeroAndIsAdded) {
  if (!on_host) GTEST_SKIP() << "signs of zeros on the host only";
  const auto nodes = tree_nodes(0, 2);
  const auto dy = to_device({1e-30f}, 1, 1), x = to_device({-1e-30f}, 1, 1), dw = to_device({99.0f}, 1, 1);
  const auto sign = [&](const std::vector<Index>& offsets, const std::vector<TreeNode>& of) {
    const auto grains = static_cast<int>(offsets.size()) - 1;
    products::weight_gradient(test::queue(), {products::SegmentTable(offsets), 1, grains, &of}, dy, x,
                              {dw.data(), 1, 0});
    return std::signbit(host_values(dw)[0]);
  };
  EXPECT_FALSE(sign({0, 1, 1}, nodes));
  EXPECT_FALSE(sign({0, 0, 1}, nodes));
  EXPECT_TRUE(sign({0, 1}, tree_nodes(0, 1)));
}

/// Of whichever grains of two nodes have no rows.
TEST(Products, AbsentPartialsOfANode) {
  if (!on_host) GTEST_SKIP() << "signs of zeros on the host only";
  const int grains = 9;
  const auto nodes = tree_nodes(0, grains);  // eight grains, and one
  for (unsigned present = 0; present < 1u << grains; ++present) {
    std::vector<Index> offsets{0};
    for (int g = 0; g < grains; ++g) offsets.push_back(offsets.back() + (present >> g & 1));
    const Index rows = offsets.back();
    const Values dy(rows, 1e-30f), x(rows, -1e-30f);
    const auto dw = to_device(Values(2, 99.0f), 2, 1);
    products::weight_gradient(test::queue(), {products::SegmentTable(offsets), 1, grains, &nodes},
                              to_device(dy, rows, 1), to_device(x, rows, 1), {dw.data(), 1, 0});
    const Values eight = reference::weight_gradient(nodes[0], offsets.data(), 1, 1, dy.data(), x.data()),
                 one = reference::weight_gradient(nodes[1], offsets.data() + 8, 1, 1, dy.data(), x.data());
    expect_same(host_values(dw), {eight[0], one[0]}, "present " + std::to_string(present));
  }
}

TEST(Products, NotFinitePassesThrough) {
  for (const float bad : {INFINITY, -INFINITY, NAN}) {
    Values x = numbers(40 * 24, 7), w = numbers(20 * 24, 8);
    x[17 * 24 + 3] = bad;
    const auto y = to_device(Values(40 * 20), 40, 20);
    const std::vector<Index> all{0, 40};
    products::forward(test::queue(), products::SegmentTable(all), to_device(x, 40, 24), {to_device(w, 20, 24)}, y);
    const Values got = host_values(y);
    for (Index i = 0; i < 40; ++i)
      for (Index j = 0; j < 20; ++j) EXPECT_EQ(std::isfinite(got[i * 20 + j]), i != 17);
  }
}

}  // namespace
}  // namespace switchyard
