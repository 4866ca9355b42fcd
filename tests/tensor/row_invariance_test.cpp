// Contract C1 of products on every backend: what a row or a grain gives does not depend on where its rows lie, on how
// many others there are, or on whether sizes are the host's or the device's. Shapes that a GPU's tensor cores take, and
// such that they do not.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "support/elements.hpp"
#include "support/queue.hpp"
#include "support/values.hpp"
#include "tensor/products/products.hpp"

namespace switchyard {
namespace {

using products::SegmentTable;
using test::elements_of;
using test::floats_of;
using test::numbers;
using Values = std::vector<float>;

/// A contiguous matrix of an element.
struct Operand {
  Operand(Element kind, Index row_count, Index row_width, const Values& values)
      : element(kind), rows(row_count), width(row_width) {
    if (element == Element::bf16)
      halves = elements_of<Bf16>(values);
    else
      floats = elements_of<float>(values);
  }
  Tensor tensor() const {
    return {element == Element::bf16 ? static_cast<void*>(halves.data()) : floats.data(), element, rows, width};
  }
  Values all() const { return element == Element::bf16 ? floats_of(halves) : floats_of(floats); }

  Element element;
  Index rows, width;
  Vector<float> floats;
  Vector<Bf16> halves;
};

struct Shape {
  Element in, out;
  Index n, k;
  bool forward;
  Index width_in() const { return forward ? k : n; }
  Index width_out() const { return forward ? n : k; }
};

constexpr Index row_count = 300;

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all = [] {
    std::vector<Shape> made;
    for (const bool forward : {true, false})
      for (const auto& [n, k] : {std::pair<Index, Index>{136, 264}, {512, 128}, {1024, 512}, {37, 50}})
        for (const auto& [in, out] :
             {std::pair{Element::bf16, Element::bf16}, {Element::bf16, Element::f32}, {Element::f32, Element::f32}})
          made.push_back({in, out, n, k, forward});
    return made;
  }();
  return all;
}

/// The rows of x times one matrix, cut into segments.
Values product(const Shape& s, const products::Segments& segments, const Values& x) {
  const Operand from(s.in, row_count, s.width_in(), x), w(s.in, s.n, s.k, numbers(s.n * s.k, 2)),
      to(s.out, row_count, s.width_out(), numbers(row_count * s.width_out(), 3));
  (s.forward ? products::forward : products::input_gradient)(test::queue(), segments, from.tensor(), {w.tensor()},
                                                             to.tensor(), products::Write::add);
  return to.all();
}

void expect_bits(const Values& got, const Values& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  ASSERT_EQ(std::memcmp(got.data(), wanted.data(), got.size() * sizeof(float)), 0);
}

TEST(RowInvariance, OfSegmentsAndTheirSizes) {
  for (const Shape& s : shapes()) {
    SCOPED_TRACE(std::to_string(s.n) + " " + std::to_string(s.k) + (s.forward ? " forward" : " input gradient"));
    const Values x = numbers(row_count * s.width_in(), 1), wanted = product(s, products::dense(row_count), x);
    for (const auto& ends : {std::vector<Index>{0, 300}, {0, 1, 3, 3, 40, 300}, {0, 63, 128, 300}})
      expect_bits(product(s, SegmentTable(ends), x), wanted);
    expect_bits(product(s, products::even(100, 3), x), wanted);
  }
}

TEST(RowInvariance, OfThePlaceOfARow) {
  for (const Shape& s : shapes()) {
    const Index in = s.width_in(), out = s.width_out(), by = 77;  // rows turned around by so many
    const Values x = numbers(row_count * in, 1);
    Values turned(x.begin() + by * in, x.end());
    turned.insert(turned.end(), x.begin(), x.begin() + by * in);
    const Operand w(s.in, s.n, s.k, numbers(s.n * s.k, 2));
    const auto rows_of = [&](const Values& from) {
      const Operand a(s.in, row_count, in, from), to(s.out, row_count, out, Values(row_count * out));
      (s.forward ? products::forward : products::input_gradient)(test::queue(), products::dense(row_count), a.tensor(),
                                                                 {w.tensor()}, to.tensor(), products::Write::replace);
      return to.all();
    };
    Values wanted = rows_of(x);
    std::rotate(wanted.begin(), wanted.begin() + by * out, wanted.end());
    expect_bits(rows_of(turned), wanted);
  }
}

const std::vector<TreeNode> each_grain{{0, 1}, {1, 1}, {2, 1}, {3, 1}}, all_grains{{0, 4}};

/// dW of two networks of four grains, by node and network, of segments that may have more rows than they do, and as the
/// configuration says `usual` rows.
Values weights(Element in, Index n, Index k, const std::vector<TreeNode>& nodes, Index bound, Index usual) {
  const SegmentTable table({0, 40, 41, 41, 100, 170, 171, 200, 300});
  const Operand dy(in, row_count, n, numbers(row_count * n, 4)), x(in, row_count, k, numbers(row_count * k, 5));
  const auto dw = elements_of<float>(Values(nodes.size() * 2 * n * k, 99.0f));
  products::Segments segments = table;
  segments.rows = bound;
  products::weight_gradient(test::queue(), {segments, 2, 4, &nodes, usual}, dy.tensor(), x.tensor(),
                            {dw.data(), 2 * n * k, n * k});
  return floats_of(dw);
}

/// `sum` of the node of four grains is that of `grains`, of so many elements each, added along the tree.
void expect_tree(const Values& sum, const Values& grains) {
  const std::size_t count = sum.size();
  Values wanted(count);
  for (std::size_t i = 0; i < count; ++i)
    wanted[i] = (grains[i] + grains[count + i]) + (grains[2 * count + i] + grains[3 * count + i]);
  expect_bits(sum, wanted);
}

TEST(RowInvariance, WeightGradientsAreTreeSumsOfGrains) {
  for (const Element in : {Element::bf16, Element::f32})
    for (const auto& [n, k] : {std::pair<Index, Index>{136, 264}, {128, 512}, {31, 33}})
      for (const Index bound : {row_count, Index{1} << 20})
        for (const Index usual : {0, 8})
          expect_tree(weights(in, n, k, all_grains, row_count, usual), weights(in, n, k, each_grain, bound, usual));
}

TEST(RowInvariance, WeightGradientsOfEvenGrainsAreTreeSums) {
  for (const Element in : {Element::bf16, Element::f32})
    for (const auto& [n, k] : {std::pair<Index, Index>{136, 264}, {64, 128}, {31, 33}})
      for (const Index rows : {75, 1024, 1030}) {
        const Operand dy(in, 4 * rows, n, numbers(4 * rows * n, 4)), x(in, 4 * rows, k, numbers(4 * rows * k, 5));
        const auto sums = [&](const std::vector<TreeNode>& nodes) {
          const auto dw = elements_of<float>(Values(nodes.size() * n * k, 99.0f));
          products::weight_gradient(test::queue(), {products::even(4, rows), 1, 4, &nodes}, dy.tensor(), x.tensor(),
                                    {dw.data(), n * k, n * k});
          return floats_of(dw);
        };
        expect_tree(sums(all_grains), sums(each_grain));
      }
}

}  // namespace
}  // namespace switchyard
