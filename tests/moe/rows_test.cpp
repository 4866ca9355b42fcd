// The row kernels for each element against plain loops in double precision: tokens with no, one and more choices, rows
// of whole vectors and of tails, dropped choices.
#include "moe/rows.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "support/elements.hpp"
#include "support/queue.hpp"
#include "support/values.hpp"

namespace switchyard::moe {
namespace {

using test::elements_of;
using test::floats_of;
using test::on_device;

std::vector<float> numbers_of(std::uint64_t salt, std::size_t n) {
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = test::noise(i, salt);
  return values;
}

constexpr Index width = 37, tokens = 5, count = 6;
const std::vector<std::int32_t> first{0, 2, 2, 3, 6, 7}, row{3, 0, 5, -1, 1, 2, 4};

/// What the kernel reads: rounded to the element.
template <class T>
std::vector<float> read(std::uint64_t salt, std::size_t n) {
  return floats_of(elements_of<T>(numbers_of(salt, n)));
}

/// Rows of `width`.
template <class T>
Tensor matrix(const Vector<T>& values) {
  return {values.data(), element_of<T>, static_cast<Index>(values.extent(0)) / width, width};
}

template <class T>
struct Rows : testing::Test {
  const Vector<std::int32_t> device_first = on_device(first), device_row = on_device(row);
  const rows::Choices choices{tokens, static_cast<Index>(row.size()), device_first.data(), device_row.data()};
};

using Elements = testing::Types<float, Bf16>;
TYPED_TEST_SUITE(Rows, Elements);

TYPED_TEST(Rows, GatherAndScatterMoveBits) {
  const std::vector<std::int32_t> order{4, 0, 3, 1, 5, 2};
  const auto index = on_device(order);
  const std::vector<float> from = read<TypeParam>(1, 6 * width);
  const auto device = elements_of<TypeParam>(from), gathered = elements_of<TypeParam>(from),
             back = elements_of<TypeParam>(numbers_of(2, from.size()));
  rows::gather(test::queue(), index.data(), matrix(device), matrix(gathered));
  rows::scatter(test::queue(), index.data(), matrix(gathered), matrix(back));
  const auto got = floats_of(gathered);
  for (Index r = 0; r < 6; ++r)
    for (Index c = 0; c < width; ++c) ASSERT_EQ(got[r * width + c], from[order[r] * width + c]);
  EXPECT_EQ(floats_of(back), from);
}

TYPED_TEST(Rows, CombineAndSumAddTheRowsOfATokensChoices) {
  const std::vector<float> weight = numbers_of(3, row.size()), from = read<TypeParam>(4, count * width),
                           start = numbers_of(5, tokens * width);
  const auto device = elements_of<TypeParam>(from);
  const auto device_weight = elements_of<float>(weight), y = elements_of<float>(start), dx = elements_of<float>(start);
  rows::add_sums(test::queue(), this->choices, device_weight.data(), matrix(device), matrix(y));
  rows::add_sums(test::queue(), this->choices, nullptr, matrix(device), matrix(dx));
  const auto got = floats_of(y), got_sum = floats_of(dx);
  for (Index t = 0; t < tokens; ++t)
    for (Index c = 0; c < width; ++c) {
      double combined = start[t * width + c], sum = combined;
      for (int i = first[t]; i < first[t + 1]; ++i) {
        if (row[i] < 0) continue;
        combined += double(weight[i]) * from[row[i] * width + c], sum += from[row[i] * width + c];
      }
      ASSERT_NEAR(got[t * width + c], combined, 1e-6) << t << " " << c;
      ASSERT_NEAR(got_sum[t * width + c], sum, 1e-6) << t << " " << c;
    }
}

/// The sum over groups [begin, end), or nothing.
template <class T>
std::optional<float> tree_sum(const std::vector<std::optional<float>>& groups, std::size_t begin, std::size_t end) {
  if (end - begin == 1) return groups[begin];
  const auto left = tree_sum<T>(groups, begin, (begin + end) / 2), right = tree_sum<T>(groups, (begin + end) / 2, end);
  if (!left || !right) return left ? left : right;
  return test::rounded<T>(*left + *right);
}

// To the bit, of tokens whose groups have no, one and more rows.
TYPED_TEST(Rows, SumsOfGroupsMeetAlongTheirTree) {
  constexpr int experts = 11;
  const std::vector<std::int32_t> starts{0, 8, 8, 16, 24},
      expert{3, 9, 0, 4, 10, 2, 7, 6, 1, 2, 0, 3, 5, 4, 8, 9, 10, 9, 8, 7, 6, 5, 4, 3};
  std::vector<std::int32_t> own(24);
  for (int i = 0; i < 24; ++i) own[i] = i % 5 == 3 || (i >= 8 && i < 15) ? -1 : 23 - i;
  const std::vector<float> weight = numbers_of(3, 24), from = read<TypeParam>(4, 24 * width);
  const auto rows = elements_of<TypeParam>(from);
  const auto weights = elements_of<float>(weight);
  const Vector<std::int32_t> d_first = on_device(starts), d_row = on_device(own), d_expert = on_device(expert);
  for (const int groups : {2, 4, 8, 16}) {
    const rows::Choices of{4, 24, d_first.data(), d_row.data(), {groups, experts, d_expert.data(), true}};
    const auto sums = elements_of<TypeParam>(numbers_of(5, 4 * width));
    rows::sums(test::queue(), of, weights.data(), matrix(rows), matrix(sums));
    const auto got = floats_of(sums);
    for (Index t = 0; t < 4; ++t)
      for (Index c = 0; c < width; ++c) {
        std::vector<std::optional<float>> chains(groups);
        for (int i = starts[t]; i < starts[t + 1]; ++i) {
          if (own[i] < 0) continue;
          int g = 0;
          while ((g + 1) * experts / groups <= expert[i]) ++g;  // group g has experts [g E / n, (g + 1) E / n)
          chains[g] = std::fma(weight[i], from[own[i] * width + c], chains[g].value_or(0.0f));
        }
        for (auto& chain : chains)
          if (chain) chain = test::rounded<TypeParam>(*chain);
        ASSERT_EQ(got[t * width + c], tree_sum<TypeParam>(chains, 0, groups).value_or(0.0f)) << groups << " " << t;
      }
  }
}

TYPED_TEST(Rows, CombineBackwardGivesGradientsOfWeightsAndRows) {
  const std::vector<float> weight = numbers_of(6, row.size()), from = read<TypeParam>(7, count * width),
                           dy = numbers_of(8, tokens * width);
  const auto device = elements_of<TypeParam>(from);  // the gradients take their place
  const auto device_weight = elements_of<float>(weight), device_dy = elements_of<float>(dy),
             d_weight = elements_of<float>(numbers_of(9, weight.size()));
  const auto together = elements_of<TypeParam>(from);
  const auto weights_together = elements_of<float>(numbers_of(9, weight.size()));
  rows::gradients(
      test::queue(), this->choices,
      {device_weight.data(), matrix(device_dy), matrix(together), matrix(together), weights_together.data()});
  rows::weight_gradients(test::queue(), this->choices, matrix(device_dy), matrix(device), d_weight.data());
  rows::row_gradients(test::queue(), this->choices, device_weight.data(), matrix(device_dy), matrix(device));
  const auto got = floats_of(device), got_weight = floats_of(d_weight);
  EXPECT_EQ(floats_of(together), got);
  EXPECT_EQ(floats_of(weights_together), got_weight);
  for (Index t = 0; t < tokens; ++t)
    for (int i = first[t]; i < first[t + 1]; ++i) {
      double dot = 0.0;
      for (Index c = 0; row[i] >= 0 && c < width; ++c) {
        const Index at = row[i] * width + c;
        dot += double(dy[t * width + c]) * from[at];
        const double wanted = double(weight[i]) * dy[t * width + c];
        ASSERT_NEAR(got[at], wanted, test::unit_of<TypeParam> * std::abs(wanted)) << i << " " << c;
      }
      ASSERT_NEAR(got_weight[i], dot, 1e-5) << i;
    }
}

// A row that was not finite before is not one that was made so.
TYPED_TEST(Rows, FirstMadeNonFiniteIsTheFirstThatWasFiniteBefore) {
  struct Row {
    Index at;  ///< of six
    float from, to;
  };
  const float nan = NAN, inf = INFINITY;
  const struct {
    std::vector<Row> rows;
    Index first;
  } cases[] = {{{}, -1},
               {{{4, 1.0f, nan}, {2, 1.0f, -inf}}, 2},
               {{{1, nan, nan}, {3, inf, 0.0f}, {5, 1.0f, inf}}, 5},
               {{{0, -inf, nan}}, -1},
               {{{0, 3e38f, nan}}, 0}};
  for (const auto& [rows, wanted] : cases)
    for (const Index column : {Index{0}, Index{17}, width - 1}) {
      std::vector<float> from = numbers_of(1, 6 * width), to = numbers_of(2, 6 * width);
      for (const Row& r : rows) from[r.at * width + column] = r.from, to[r.at * width + (column + 5) % width] = r.to;
      const auto before = elements_of<TypeParam>(from), after = elements_of<TypeParam>(to);
      EXPECT_EQ(rows::first_made_non_finite(test::queue(), matrix(before), matrix(after)), wanted) << column;
    }
  const Vector<TypeParam> none("none", 0);
  EXPECT_EQ(rows::first_made_non_finite(test::queue(), matrix(none), matrix(none)), -1);
}

}  // namespace
}  // namespace switchyard::moe
