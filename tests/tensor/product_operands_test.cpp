// Products of rows that lie apart, of parts of wider matrices, and of any element, against sums in double.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "support/elements.hpp"
#include "support/queue.hpp"
#include "support/values.hpp"
#include "tensor/products/library.hpp"
#include "tensor/products/products.hpp"

namespace switchyard {
namespace {

using test::elements_of;
using test::floats_of;
using test::numbers;
using Values = std::vector<float>;

/// A matrix of an element, as part of a wider one where `beside` columns stand left and right of it.
struct Operand {
  Operand(Element kind, Index row_count, Index row_width, Index beside, unsigned seed)
      : element(kind), rows(row_count), width(row_width), stride(row_width + 2 * beside), left(beside) {
    const Values drawn = numbers(rows * stride, seed);
    if (element == Element::bf16)
      halves = elements_of<Bf16>(drawn);
    else
      floats = elements_of<float>(drawn);
  }
  Tensor tensor() const {
    void* memory = element == Element::bf16 ? static_cast<void*>(halves.data()) : floats.data();
    return Tensor(memory, element, rows, stride).part(0, rows, left, width);
  }
  /// All of the wider matrix.
  Values all() const { return element == Element::bf16 ? floats_of(halves) : floats_of(floats); }
  double at(const Values& of_all, Index i, Index c) const { return of_all[i * stride + left + c]; }

  Element element;
  Index rows, width, stride, left;
  Vector<float> floats;
  Vector<Bf16> halves;
};

/// Two segments that lie apart, in falling order, and one without rows; rows 0, 9 … 11, 30 … belong to none.
const std::vector<Index> first{12, 1, 25}, last{30, 9, 25};
constexpr Index row_count = 34, n = 37, k = 50;

/// What one rounding to the element of the result may change, and what the order of a sum of 50 products.
double tolerance(Element element, double wanted) {
  return (element == Element::bf16 ? test::unit_of<Bf16> * std::abs(wanted) : 0.0) + 1e-5;
}

struct Kinds {
  Element x, w, y;
};

/// cuBLAS multiplies operands of one element.
bool served(const Kinds& kinds) { return on_host || kinds.x == kinds.w; }

std::vector<Kinds> all_kinds() {
  std::vector<Kinds> all;
  for (const Element x : {Element::f32, Element::bf16})
    for (const Element w : {Element::f32, Element::bf16})
      for (const Element y : {Element::f32, Element::bf16})
        if (served({x, w, y}) && (on_host || x == Element::bf16 || y == Element::f32)) all.push_back({x, w, y});
  return all;
}

using Product = void (*)(const Queue&, const products::Segments&, const Tensor&, const products::Weights&,
                         const Tensor&, products::Write);

void check(const Kinds& kinds, Product product, bool forward, products::Write write) {
  const Index in = forward ? k : n, out = forward ? n : k;
  const Operand x(kinds.x, row_count, in, 3, 1), w(kinds.w, 3 * n, k, 0, 2), y(kinds.y, row_count, out, 5, 3);
  const Values xs = x.all(), ws = w.all(), before = y.all();
  product(test::queue(), products::SegmentTable(first, last), x.tensor(), {w.tensor().part(0, n), n * k}, y.tensor(),
          write);
  const Values got = y.all();
  std::vector<bool> checked(got.size(), false);
  for (int s = 0; s < 3; ++s)
    for (Index r = first[s]; r < last[s]; ++r)
      for (Index o = 0; o < out; ++o) {
        double wanted = write == products::Write::add ? y.at(before, r, o) : 0.0;
        for (Index i = 0; i < in; ++i)
          wanted += x.at(xs, r, i) * (forward ? w.at(ws, s * n + o, i) : w.at(ws, s * n + i, o));
        ASSERT_NEAR(y.at(got, r, o), wanted, tolerance(kinds.y, wanted)) << r << " " << o;
        checked[r * y.stride + y.left + o] = true;
      }
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_TRUE(checked[i] || got[i] == before[i]) << "what is no segment's changed: " << i;
}

TEST(ProductOperands, OfAnyElementInPlacesOfTheirOwn) {
  for (const Kinds& kinds : all_kinds())
    for (const auto write : {products::Write::replace, products::Write::add}) {
      SCOPED_TRACE(static_cast<int>(kinds.x) * 100 + static_cast<int>(kinds.w) * 10 + static_cast<int>(kinds.y));
      check(kinds, products::forward, true, write);
      check(kinds, products::input_gradient, false, write);
    }
}

/// Networks of three grains in rows that lie in any order; the grains are 5, 6 and 7 of a tree.
struct Scattered {
  std::vector<Index> from{600, 3, 20, 0, 330, 40}, past{601, 20, 20, 3, 592, 330};  // (network, grain)
  std::vector<TreeNode> nodes = tree_nodes(5, 8);                                   // {5}, {6, 7}
  static constexpr int networks = 2, grains = 3;
  static constexpr Index rows = 601;
};

void check_weight_gradient(Element of_dy, Element of_x) {
  const Scattered s;
  const Operand dy(of_dy, s.rows, n, 2, 4), x(of_x, s.rows, k, 4, 5);
  const Values dys = dy.all(), xs = x.all();
  const Index node = 2 * n * k + 16;
  const auto dw = elements_of<float>(Values(s.nodes.size() * node, 99.0f));
  products::weight_gradient(test::queue(), {products::SegmentTable(s.from, s.past), s.networks, s.grains, &s.nodes},
                            dy.tensor(), x.tensor(), {dw.data(), node, n * k});
  const Values got = floats_of(dw);
  ASSERT_EQ(s.nodes.size(), 2u);
  for (std::size_t t = 0; t < 2; ++t)
    for (int e = 0; e < s.networks; ++e)
      for (Index o = 0; o < n; ++o)
        for (Index i = 0; i < k; ++i) {
          double wanted = 0.0;
          for (int g = t == 0 ? 0 : 1; g < (t == 0 ? 1 : 3); ++g)
            for (Index r = s.from[e * s.grains + g]; r < s.past[e * s.grains + g]; ++r)
              wanted += dy.at(dys, r, o) * x.at(xs, r, i);
          ASSERT_NEAR(got[t * node + e * n * k + o * k + i], wanted, 2e-5 * (1 + std::abs(wanted)))
              << t << " " << e << " " << o << " " << i;
        }
}

TEST(ProductOperands, WeightGradientOfRowsThatLieApart) {
  for (const Element x : {Element::f32, Element::bf16})
    for (const Element dy : {Element::f32, Element::bf16})
      if (on_host || x == dy) check_weight_gradient(dy, x);
}

/// The same rows give the same bits wherever they lie.
TEST(ProductOperands, WeightGradientDoesNotDependOnWhereRowsLie) {
  const Scattered s;
  const auto gradient = [&](const std::vector<Index>& from, const std::vector<Index>& past, const Values& dy,
                            const Values& x) {
    const auto dw = elements_of<float>(Values(2 * 2 * n * k, 99.0f)), d = elements_of<float>(dy),
               in = elements_of<float>(x);
    const products::SegmentTable table(from, past);
    products::weight_gradient(test::queue(), {table.segments(), s.networks, s.grains, &s.nodes},
                              {d.data(), Element::f32, s.rows, n}, {in.data(), Element::f32, s.rows, k},
                              {dw.data(), 2 * n * k, n * k});
    return floats_of(dw);
  };
  const Values dy = numbers(s.rows * n, 6), x = numbers(s.rows * k, 7);
  Values packed_dy, packed_x;
  std::vector<Index> from, past;
  for (std::size_t i = 0; i < s.from.size(); ++i) {
    from.push_back(static_cast<Index>(packed_x.size()) / k);
    packed_dy.insert(packed_dy.end(), dy.begin() + s.from[i] * n, dy.begin() + s.past[i] * n);
    packed_x.insert(packed_x.end(), x.begin() + s.from[i] * k, x.begin() + s.past[i] * k);
    past.push_back(static_cast<Index>(packed_x.size()) / k);
  }
  packed_dy.resize(s.rows * n), packed_x.resize(s.rows * k);
  EXPECT_EQ(gradient(s.from, s.past, dy, x), gradient(from, past, packed_dy, packed_x));
}

/// Between a router, whose weights and gradients are floats, and rows of halves: widths that tensor cores take, some
/// experts of which the last are fewer than a tile has, and three pieces, of grains 5, 6 and 7.
struct Between {
  /// cuBLAS multiplies operands of one element.
  static bool served() { return std::string(products::description()).find("cuBLAS") == std::string::npos; }
  explicit Between(Index of_layer)
      : experts(of_layer),
        x(Element::bf16, rows, width, 8, 11),
        w(Element::f32, experts, width, 0, 12),
        d_logits(Element::f32, rows, experts, 3, 13) {}
  static constexpr Index rows = 3 * 70, width = 136;
  Index experts;
  Operand x, w, d_logits;
};

TEST(ProductOperands, BetweenFloatsAndRowsOfHalves) {
  if (!Between::served()) GTEST_SKIP() << "operands of one element";
  for (const Index experts : {1, 7, 64, 130}) {
    const Between b(experts);
    const Values xs = b.x.all(), ws = b.w.all(), ds = b.d_logits.all();
    const Operand y(Element::f32, b.rows, experts, 0, 14), dx(Element::f32, b.rows, b.width, 4, 15);
    products::forward(test::queue(), products::dense(b.rows), b.x.tensor(), {b.w.tensor()}, y.tensor());
    products::input_gradient(test::queue(), products::dense(b.rows), b.d_logits.tensor(), {b.w.tensor()}, dx.tensor());
    const Values got = y.all(), got_dx = dx.all();
    for (Index r = 0; r < b.rows; ++r) {
      for (Index e = 0; e < experts; ++e) {
        double wanted = 0.0;
        for (Index i = 0; i < b.width; ++i) wanted += b.x.at(xs, r, i) * b.w.at(ws, e, i);
        ASSERT_NEAR(y.at(got, r, e), wanted, 2e-5) << experts << " " << r << " " << e;
      }
      for (Index i = 0; i < b.width; ++i) {
        double wanted = 0.0;
        for (Index e = 0; e < experts; ++e) wanted += b.d_logits.at(ds, r, e) * b.w.at(ws, e, i);
        ASSERT_NEAR(dx.at(got_dx, r, i), wanted, 2e-5) << experts << " " << r << " " << i;
      }
    }
  }
}

TEST(ProductOperands, WeightGradientOfFloatsAndRowsOfHalves) {
  if (!Between::served()) GTEST_SKIP() << "operands of one element";
  const std::vector<TreeNode> nodes = tree_nodes(5, 8);  // {5}, {6, 7}
  for (const Index experts : {1, 7, 64, 130}) {
    const Between b(experts);
    const Values xs = b.x.all(), ds = b.d_logits.all();
    const Index node = experts * b.width + 16;
    const auto dw = elements_of<float>(Values(nodes.size() * node, 99.0f));
    products::weight_gradient(test::queue(), {products::even(3, b.rows / 3), 1, 3, &nodes}, b.d_logits.tensor(),
                              b.x.tensor(), {dw.data(), node, 0});
    const Values got = floats_of(dw);
    for (Index t = 0; t < 2; ++t)
      for (Index e = 0; e < experts; ++e)
        for (Index i = 0; i < b.width; ++i) {
          double wanted = 0.0;
          for (Index r = t * b.rows / 3; r < (t + 1 + t) * b.rows / 3; ++r)
            wanted += b.d_logits.at(ds, r, e) * b.x.at(xs, r, i);
          ASSERT_NEAR(got[t * node + e * b.width + i], wanted, 2e-5) << experts << " " << t << " " << e << " " << i;
        }
  }
}

/// The matrix at `dw` against sums in double over rows [begin, end).
struct GradientCheck {
  const Operand &dy, &x;
  Values dys, xs;

  void matrix(const float* dw, Index begin, Index end, const std::string& what) const {
    for (Index o = 0; o < dy.width; ++o)
      for (Index i = 0; i < x.width; ++i) {
        double wanted = 0.0, magnitude = 1.0;
        for (Index r = begin; r < end; ++r) {
          const double term = dy.at(dys, r, o) * x.at(xs, r, i);
          wanted += term, magnitude += std::abs(term);
        }
        ASSERT_NEAR(dw[o * x.width + i], wanted, 4e-6 * magnitude) << what << " " << o << " " << i;
      }
  }
};

/// Three networks of eight grains, one without rows, one of many: whatever the configuration says they usually have.
TEST(ProductOperands, WeightGradientsOfGrainsOfHalves) {
  const std::vector<Index> rows{3, 0, 64, 5, 1, 17, 9, 2, 0, 0, 0, 1, 0, 0, 0, 0, 70, 66, 64, 33, 32, 31, 16, 15};
  std::vector<Index> begins{0};
  for (const Index n_rows : rows) begins.push_back(begins.back() + n_rows);
  const std::vector<Index> all_first(begins.begin(), begins.end() - 1), all_last(begins.begin() + 1, begins.end());
  const std::vector<TreeNode> nodes = tree_nodes(0, 8);
  for (const auto& [of_dy, of_x] : {std::pair<Index, Index>{128, 64}, {64, 128}, {72, 40}, {33, 7}})
    for (const Index usual : {0, 2, 16, 64, 500}) {
      const Operand dy(Element::bf16, begins.back(), of_dy, 0, 21), x(Element::bf16, begins.back(), of_x, 0, 22);
      const GradientCheck check{dy, x, dy.all(), x.all()};
      const auto dw = elements_of<float>(Values(3 * of_dy * of_x, 99.0f));
      products::weight_gradient(test::queue(), {products::SegmentTable(all_first, all_last), 3, 8, &nodes, usual},
                                dy.tensor(), x.tensor(), {dw.data(), 0, of_dy * of_x});
      const Values got = floats_of(dw);
      for (Index e = 0; e < 3; ++e)
        check.matrix(got.data() + e * of_dy * of_x, begins[8 * e], begins[8 * e + 8],
                     "network " + std::to_string(e) + " usual " + std::to_string(usual));
    }
}

/// Dense ones, whose grains may be cut into parts, and a router's, whose slices are.
TEST(ProductOperands, WeightGradientsOfEvenGrainsOfHalves) {
  for (const Index grain_rows : {40, 512, 2048})
    for (const Element of : {Element::bf16, Element::f32})
      for (const auto& [of_dy, of_x] : {std::pair<Index, Index>{16, 64}, {192, 64}, {64, 128}}) {
        if (of == Element::f32 && !Between::served()) continue;
        const Index grains = 2048 / grain_rows < 8 ? 2048 / grain_rows : 8;
        const std::vector<TreeNode> nodes = tree_nodes(0, static_cast<int>(grains));
        const Operand dy(of, grains * grain_rows, of_dy, 0, 23), x(Element::bf16, grains * grain_rows, of_x, 8, 24);
        const auto dw = elements_of<float>(Values(of_dy * of_x, 99.0f));
        products::weight_gradient(
            test::queue(), {products::even(static_cast<int>(grains), grain_rows), 1, static_cast<int>(grains), &nodes},
            dy.tensor(), x.tensor(), {dw.data(), 0, 0});
        const Values got = floats_of(dw);
        GradientCheck{dy, x, dy.all(), x.all()}.matrix(got.data(), 0, grains * grain_rows,
                                                       "rows " + std::to_string(grain_rows));
      }
}

}  // namespace
}  // namespace switchyard
