// Attention and rotary positions against the references in double.
#include "reference/attention.hpp"

#include "model/attention/causal.hpp"
#include "model/attention/rope.hpp"
#include "model/support.hpp"
#include "support/elements.hpp"
#include "support/queue.hpp"
#include "support/values.hpp"

namespace switchyard {
namespace {

using namespace test;
using reference::Heads;

struct Result {
  Doubles out, dq, dk, dv;
};

Result run(const Heads& n, const Doubles& q, const Doubles& k, const Doubles& v, const Doubles& dout) {
  const Index rows = Index{n.sequences} * n.context, width = n.heads * n.head_dim, kv = n.kv_heads * n.head_dim;
  const model::AttentionShape shape{n.sequences, n.context, n.heads, n.kv_heads, n.head_dim};
  const model::AttentionState state{matrix(rows, width, q), matrix(rows, kv, k), matrix(rows, kv, v),
                                    matrix(rows, width), matrix(n.heads, rows)};
  const model::AttentionGradient gradient{matrix(rows, width, dout), matrix(rows, width, Doubles(q.size(), 9.0)),
                                          matrix(rows, kv, Doubles(k.size(), 9.0)),
                                          matrix(rows, kv, Doubles(k.size(), 9.0))};
  const Index floats = attention_memory(shape, Host().concurrency());
  const Vector<float> memory("memory", floats + 64);
  Kokkos::deep_copy(memory, 4.5f);
  attention_forward(test::queue(), shape, state, memory);
  attention_backward(test::queue(), shape, state, gradient, memory);
  EXPECT_EQ(copy_out(memory.data() + floats, 64), Doubles(64, 4.5)) << "what lies past the memory";
  return {values_of(state.out), values_of(gradient.q), values_of(gradient.k), values_of(gradient.v)};
}

class Attention : public testing::TestWithParam<Heads> {};

TEST_P(Attention, AgreesWithReference) {
  const Heads n = GetParam();
  const std::size_t rows = n.sequences * n.context, width = n.heads * n.head_dim, kv = n.kv_heads * n.head_dim;
  const Doubles q = random_values(rows * width, 1, 2.0), k = random_values(rows * kv, 2, 2.0),
                v = random_values(rows * kv, 3), dout = random_values(rows * width, 4);
  const Result got = run(n, q, k, v, dout);
  Doubles dq, dk, dv;
  reference::attention_backward(n, q, k, v, dout, dq, dk, dv);
  EXPECT_LT(relative_error(reference::attention(n, q, k, v), got.out), 3e-6);
  EXPECT_LT(relative_error(dq, got.dq), 1e-5);
  EXPECT_LT(relative_error(dk, got.dk), 1e-5);
  EXPECT_LT(relative_error(dv, got.dv), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Attention,
                         testing::Values(Heads{1, 1, 1, 1, 2}, Heads{2, 5, 2, 1, 4}, Heads{3, 33, 4, 2, 8},
                                         Heads{1, 64, 6, 2, 16}, Heads{2, 100, 3, 3, 10}, Heads{0, 8, 2, 2, 4},
                                         // around the 36 rows that are worked together, and wide heads
                                         Heads{1, 35, 2, 1, 64}, Heads{1, 36, 2, 2, 34}, Heads{2, 37, 1, 1, 128},
                                         Heads{1, 73, 8, 1, 6}, Heads{3, 2, 4, 2, 8}));

TEST(AttentionReference, GradientIsTheSlope) {
  const Heads n{1, 4, 2, 1, 2};
  Doubles q = random_values(16, 1), k = random_values(8, 2), v = random_values(8, 3), dq, dk, dv;
  const Doubles dout = random_values(16, 4);
  reference::attention_backward(n, q, k, v, dout, dq, dk, dv);
  const auto slope = [&](double& at) {
    double side[2];
    for (int s = 0; s < 2; ++s) {
      at += s ? -2e-6 : 1e-6;
      const Doubles out = reference::attention(n, q, k, v);
      side[s] = 0.0;
      for (std::size_t i = 0; i < out.size(); ++i) side[s] += out[i] * dout[i];
    }
    at += 1e-6;
    return (side[0] - side[1]) / 2e-6;
  };
  for (std::size_t i = 0; i < q.size(); ++i) EXPECT_NEAR(dq[i], slope(q[i]), 1e-7);
  for (std::size_t i = 0; i < k.size(); ++i) EXPECT_NEAR(dk[i], slope(k[i]), 1e-7);
  for (std::size_t i = 0; i < v.size(); ++i) EXPECT_NEAR(dv[i], slope(v[i]), 1e-7);
}

TEST(AttentionBits, DependOnTheSequenceAlone) {
  const Heads one{1, 40, 4, 2, 8}, three{3, 40, 4, 2, 8};
  const std::size_t wide = 40 * 32, narrow = 40 * 16;
  const Doubles q = random_values(3 * wide, 1), k = random_values(3 * narrow, 2), v = random_values(3 * narrow, 3),
                dout = random_values(3 * wide, 4);
  const auto third = [](const Doubles& all) { return Doubles(all.end() - all.size() / 3, all.end()); };
  const Result all = run(three, q, k, v, dout), last = run(one, third(q), third(k), third(v), third(dout));
  EXPECT_EQ(third(all.out), last.out);
  EXPECT_EQ(third(all.dq), last.dq);
  EXPECT_EQ(third(all.dk), last.dk);
  EXPECT_EQ(third(all.dv), last.dv);
}

/// `values` with other numbers in tokens [first, last).
Doubles changed(Doubles values, std::size_t width, std::size_t first, std::size_t last) {
  const Doubles other = random_values(values.size(), 99, 3.0);
  std::copy(other.begin() + first * width, other.begin() + last * width, values.begin() + first * width);
  return values;
}

/// Tokens [first, last) alone.
Doubles part(const Doubles& values, std::size_t width, std::size_t first, std::size_t last) {
  return {values.begin() + first * width, values.begin() + last * width};
}

// What comes later changes no bit of what is before it; and what keys and values get back is of later queries only.
TEST(AttentionBits, NothingOfTheFutureIsSeenAndNothingOfThePastComesBack) {
  constexpr std::size_t context = 80, wide = 16, narrow = 8;
  const Heads n{1, 80, 4, 2, 4};
  const Doubles q = random_values(context * wide, 1), k = random_values(context * narrow, 2),
                v = random_values(context * narrow, 3), dout = random_values(context * wide, 4);
  const Result whole = run(n, q, k, v, dout);
  for (const std::size_t t : {1, 35, 36, 37, 72, 79}) {
    const Result later = run(n, changed(q, wide, t, context), changed(k, narrow, t, context),
                             changed(v, narrow, t, context), changed(dout, wide, t, context));
    EXPECT_EQ(part(later.out, wide, 0, t), part(whole.out, wide, 0, t)) << t;
    EXPECT_EQ(part(later.dq, wide, 0, t), part(whole.dq, wide, 0, t)) << t;
    EXPECT_NE(later.out, whole.out) << t;
    const Result earlier = run(n, changed(q, wide, 0, t), k, v, changed(dout, wide, 0, t));
    EXPECT_EQ(part(earlier.dk, narrow, t, context), part(whole.dk, narrow, t, context)) << t;
    EXPECT_EQ(part(earlier.dv, narrow, t, context), part(whole.dv, narrow, t, context)) << t;
  }
}

TEST(AttentionRange, LargeScoresStayFinite) {
  const Heads n{1, 50, 1, 1, 4};
  const Doubles q = random_values(200, 1, 40.0), k = random_values(200, 2, 40.0), v = random_values(200, 3);
  const Result got = run(n, q, k, v, v);
  EXPECT_LT(relative_error(reference::attention(n, q, k, v), got.out), 1e-3);
  Doubles dq, dk, dv;
  reference::attention_backward(n, q, k, v, v, dq, dk, dv);
  EXPECT_LT(relative_error(dv, got.dv), 1e-3);
  for (std::size_t i = 0; i < dq.size(); ++i) {  // a query takes one key, and all but nothing comes back to both
    EXPECT_NEAR(got.dq[i], dq[i], 1e-3) << i;
    EXPECT_NEAR(got.dk[i], dk[i], 1e-3) << i;
  }
}

TEST(Rope, TurnsAndTurnsBack) {
  Config config = small_config();
  const nn::Rows rows = nn::make_rows(config, one_rank(config));
  const Doubles x = random_values(rows.count * config.model.width, 1);
  const auto turned = matrix(rows.count, config.model.width, x);
  const Placed<model::Rope> rope("test::rope", config);
  rope->forward(test::queue(), turned);
  EXPECT_LT(
      relative_error(reference::rope(x, config.model.context, 3, 8, config.model.rope_base, 1.0), values_of(turned)),
      1e-6);
  rope->backward(test::queue(), turned);
  EXPECT_LT(relative_error(x, values_of(turned)), 1e-6);
}

// At position 9000 an angle in float would be off by a thousandth.
TEST(Rope, IsExactAtFarPositionsForAnyHeadsAndBase) {
  for (const auto& [heads, width, base] : {std::tuple(1, 2, 10000.0), {3, 12, 500000.0}, {2, 20, 1.5}}) {
    Config config = small_config();
    config.model.context = 9001, config.model.heads = heads, config.model.width = width;
    config.model.rope_base = base;
    const Doubles x = random_values(std::size_t{9001} * width, 7);
    const auto turned = matrix(9001, width, x);
    const Placed<model::Rope> rope("test::rope", config);
    rope->forward(test::queue(), turned);
    EXPECT_LT(relative_error(reference::rope(x, 9001, heads, width / heads, base, 1.0), values_of(turned)), 2e-7);
  }
}

TEST(Rope, TurnsBf16AsItTurnsFloats) {
  Config config = small_config();
  const nn::Rows rows = nn::make_rows(config, one_rank(config));
  const Index n = rows.count * config.model.width;
  Matrix<Bf16> turned("test::turned", rows.count, config.model.width);
  Kokkos::deep_copy(Vector<Bf16>(turned.data(), n), elements_of<Bf16>(numbers(n, 1)));
  const std::vector<float> x = floats_of(Vector<Bf16>(turned.data(), n));
  const Placed<model::Rope> rope("test::rope", config);
  rope->forward(test::queue(), turned);
  const std::vector<float> got = floats_of(Vector<Bf16>(turned.data(), n));
  const Doubles wanted =
      reference::rope(Doubles(x.begin(), x.end()), config.model.context, 3, 8, config.model.rope_base, 1.0);
  for (Index i = 0; i < n; ++i) ASSERT_NEAR(got[i], wanted[i], unit_of<Bf16> * std::abs(wanted[i]) + 1e-6) << i;
}

}  // namespace
}  // namespace switchyard
