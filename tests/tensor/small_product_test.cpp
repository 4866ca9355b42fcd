// Serial products of blocks with strides against scalar chains, bit for bit; what lies between the rows stays
// untouched.
#include <gtest/gtest.h>

#include <cstring>
#include <sstream>
#include <vector>

#include "reference/product.hpp"
#include "support/values.hpp"
#include "tensor/types.hpp"
#if !defined(KOKKOS_ENABLE_CUDA)
#include "tensor/products/packed_product_host.hpp"

namespace switchyard {
namespace {

using test::numbers;
using Values = std::vector<float>;

using Product = void (*)(products::Size, products::ConstBlock, products::ConstBlock, products::Block, products::Write);

/// `a_transposed`: A is stored (k, m); `b_transposed`: B is stored (n, k).
void check(Product product, bool a_transposed, bool b_transposed, products::Size s, Index gap) {
  const Index a_stride = (a_transposed ? s.m : s.k) + gap, b_stride = (b_transposed ? s.k : s.n) + 2 * gap,
              stride = s.n + gap;
  const Values a = numbers((a_transposed ? s.k : s.m) * a_stride, 1),
               b = numbers((b_transposed ? s.n : s.k) * b_stride, 2);
  const Values before = numbers(s.m * stride, 3);
  for (const products::Write write : {products::Write::replace, products::Write::add}) {
    Values wanted = before, got = before;
    for (Index i = 0; i < s.m; ++i)
      for (Index j = 0; j < s.n; ++j) {
        const float sum =
            reference::chain(s.k, a.data() + (a_transposed ? i : i * a_stride), a_transposed ? a_stride : 1,
                             b.data() + (b_transposed ? j * b_stride : j), b_transposed ? 1 : b_stride);
        wanted[i * stride + j] = write == products::Write::add ? before[i * stride + j] + sum : sum;
      }
    product(s, {a.data(), a_stride}, {b.data(), b_stride}, {got.data(), stride}, write);
    std::ostringstream text;
    text << s.m << " x " << s.n << " x " << s.k << " gap " << gap
         << (a_transposed   ? " tn"
             : b_transposed ? " nt"
                            : " nn");
    ASSERT_TRUE(wanted.empty() || std::memcmp(got.data(), wanted.data(), got.size() * sizeof(float)) == 0)
        << text.str();
  }
}

/// The packed products in the form of the others.
template <bool transposed>
void packed(products::Size s, products::ConstBlock a, products::ConstBlock b, products::Block c,
            products::Write write) {
  Values memory(products::panel_floats(s.k + 3, s.n), -7.0f);
  const products::Panels panels{memory.data(), s.k};
  (transposed ? products::pack_transposed : products::pack)(s.n, b, panels);
  if (write == products::Write::replace) return products::packed_product(s, {a.data, a.stride, 1}, panels, c, true);
  Values sum(s.m * s.n);
  products::packed_product(s, {a.data, a.stride, 1}, panels, {sum.data(), s.n}, true);
  for (Index i = 0; i < s.m; ++i)
    for (Index j = 0; j < s.n; ++j) c.data[i * c.stride + j] += sum[i * s.n + j];
}

void check_all(products::Size s, Index gap) {
  check(products::product_nn, false, false, s, gap);
  check(products::product_nt, false, true, s, gap);
  check(packed<false>, false, false, s, gap);
  check(packed<true>, false, true, s, gap);
}

TEST(SmallProduct, EveryEdge) {
  for (const Index m : {0, 1, 2, 5, 6, 7, 13, 17, 19, 31})
    for (const Index n : {0, 1, 7, 8, 9, 16, 17, 33})
      for (const Index k : {0, 1, 3, 8, 17}) check_all({m, n, k}, 3);
}

TEST(SmallProduct, ShapesOfAttention) {
  for (const Index d : {32, 64})
    for (const Index q : {32, 64, 100, 256}) {
      check_all({q, 256, d}, 64);
      check_all({q, d, 256}, 64);
    }
}

/// A chain cut into two depths has the bits of the whole one, whatever stands after the rows that it goes on with.
TEST(PackedProduct, ChainsGoOn) {
  for (const Index m : {1, 6, 13, 31})
    for (const Index n : {1, 16, 33}) {
      const Index k = 20, cut = 7, depth = m + 2;
      const Values a = numbers(k * m, 4), b = numbers(k * n, 5);
      Values memory(products::panel_floats(k, n)), sums(products::panel_floats(depth, n)), got(depth * n),
          wanted(depth * n);
      for (const auto& [first, last] : {std::pair<Index, Index>{0, cut}, {cut, k}}) {
        const products::Panels panels{memory.data(), last - first};
        products::pack(n, {b.data() + first * n, n}, panels);
        products::packed_chain({m, n, last - first}, {a.data() + first * m, 1, m}, panels, {sums.data(), depth});
      }
      products::unpack(n, {sums.data(), depth}, {got.data(), n});
      for (Index i = 0; i < m; ++i)
        for (Index j = 0; j < n; ++j) wanted[i * n + j] = reference::chain(k, a.data() + i, m, b.data() + j, n);
      EXPECT_EQ(std::memcmp(got.data(), wanted.data(), got.size() * sizeof(float)), 0) << m << " x " << n;
    }
}

TEST(SmallProduct, LargerThanTheBlocks) { check_all({200, 270, 530}, 1); }

}  // namespace
}  // namespace switchyard
#endif
