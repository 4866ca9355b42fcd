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
  const Doubles wide(q.size(), 9.0), narrow(k.size(), 9.0);
  const Matrix<float> mq = matrix(rows, width, q), mk = matrix(rows, kv, k), mv = matrix(rows, kv, v),
                      out = matrix(rows, width), dq = matrix(rows, width, wide), dk = matrix(rows, kv, narrow),
                      dv = matrix(rows, kv, narrow), dy = matrix(rows, width, dout);
  const model::AttentionState state{mq, mk, mv, out, matrix(n.heads, rows)};
  const model::AttentionGradient gradient{dy, dq, dk, dv};
  const Index floats = attention_memory(shape, Element::f32, Host().concurrency());
  const Vector<float> memory("memory", floats + 64);
  Kokkos::deep_copy(memory, 4.5f);
  attention_forward(test::queue(), shape, {}, state, memory);
  attention_backward(test::queue(), shape, {}, state, gradient, memory);
  EXPECT_EQ(copy_out(memory.data() + floats, 64), Doubles(64, 4.5)) << "what lies past the memory";
  return {values_of(out), values_of(dq), values_of(dk), values_of(dv)};
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

/// The heads of x(N, heads·D) turned in place.
void turn(const model::Rope& rope, const Matrix<float>& x, int head_dim, float sign) {
  const model::Rotation by = rope.rotation();
  const Index context = by.cosine.extent(0), heads = x.extent(1) / head_dim;
  Kokkos::parallel_for(
      "test::turn", test::queue().range(x.extent(0) * heads), KOKKOS_LAMBDA(Index it) {
        const Index i = it / heads, t = i % context;
        model::turn_head(&x(i, it % heads * head_dim), &by.cosine(t, 0), &by.sine(t, 0), sign, head_dim / 2);
      });
}

TEST(Rope, TurnsAndTurnsBack) {
  Config config = small_config();
  const nn::Rows rows = nn::make_rows(config, one_rank(config));
  const Doubles x = random_values(rows.count * config.model.width, 1);
  const auto turned = matrix(rows.count, config.model.width, x);
  const Placed<model::Rope> rope("test::rope", config);
  turn(*rope, turned, 8, 1.0f);
  EXPECT_LT(
      relative_error(reference::rope(x, config.model.context, 3, 8, config.model.rope_base, 1.0), values_of(turned)),
      1e-6);
  turn(*rope, turned, 8, -1.0f);
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
    turn(*rope, turned, width / heads, 1.0f);
    EXPECT_LT(relative_error(reference::rope(x, 9001, heads, width / heads, base, 1.0), values_of(turned)), 2e-7);
  }
}

// ---- queries and keys turned, in both elements
// --------------------------------------------------------------------------

/// Attention of tensors of T, whose memory has a stride of its own; with rotary positions.
template <class T>
struct Rig {
  Rig(const Heads& heads, int spare) : n(heads), rows(Index{n.sequences} * n.context), spare_columns(spare) {
    config.model.context = n.context, config.model.heads = n.heads, config.model.width = n.heads * n.head_dim;
    rope = std::make_unique<Placed<model::Rope>>("test::rope", config);
  }
  Tensor tensor(int heads_of, const std::vector<float>& values) {
    const Index width = Index{heads_of} * n.head_dim, stride = width + spare_columns;
    std::vector<float> wide(rows * stride, 77.0f);
    for (Index i = 0; i < rows; ++i) std::copy_n(values.begin() + i * width, width, wide.begin() + i * stride);
    memory.push_back(elements_of<T>(wide));
    Tensor t(memory.back().data(), element_of<T>, rows, width);
    t.stride = stride;
    return t;
  }
  Doubles values(const Tensor& t) const {
    for (const Vector<T>& m : memory)
      if (reinterpret_cast<std::byte*>(m.data()) == t.data) {
        const std::vector<float> all = floats_of(m);
        Doubles own;
        for (Index i = 0; i < rows; ++i) own.insert(own.end(), &all[i * t.stride], &all[i * t.stride] + t.width);
        for (Index i = 0; i < rows; ++i)
          for (Index c = t.width; c < t.stride; ++c) EXPECT_EQ(all[i * t.stride + c], 77.0f) << "beside the rows";
        return own;
      }
    return {};
  }
  Heads n;
  Index rows;
  int spare_columns;
  Config config;
  std::unique_ptr<Placed<model::Rope>> rope;
  std::vector<Vector<T>> memory;
};

/// Values that T has exactly.
template <class T>
std::vector<float> numbers_of(std::size_t n, int seed) {
  std::vector<float> values = numbers(n, seed);
  for (float& v : values) v = rounded<T>(2.0f * v);
  return values;
}

Doubles doubles(const std::vector<float>& values) { return {values.begin(), values.end()}; }

/// Rounding to T where the program rounds, in the references between their parts.
template <class T>
Doubles rounded_all(Doubles values) {
  for (double& v : values) v = rounded<T>(static_cast<float>(v));
  return values;
}

template <class T>
void check_turned(const Heads& n, int spare, double tolerance) {
  Rig<T> rig(n, spare);
  const std::size_t wide = rig.rows * n.heads * n.head_dim, narrow = rig.rows * n.kv_heads * n.head_dim;
  const std::vector<float> q = numbers_of<T>(wide, 1), k = numbers_of<T>(narrow, 2), v = numbers_of<T>(narrow, 3),
                           dout = numbers_of<T>(wide, 4);
  const auto zeros = [](std::size_t size) { return std::vector<float>(size, 9.0f); };
  const model::AttentionShape shape{n.sequences, n.context, n.heads, n.kv_heads, n.head_dim};
  const model::AttentionState state{rig.tensor(n.heads, q), rig.tensor(n.kv_heads, k), rig.tensor(n.kv_heads, v),
                                    rig.tensor(n.heads, zeros(wide)), matrix(n.heads, rig.rows)};
  const model::AttentionGradient gradient{rig.tensor(n.heads, dout), rig.tensor(n.heads, zeros(wide)),
                                          rig.tensor(n.kv_heads, zeros(narrow)), rig.tensor(n.kv_heads, zeros(narrow))};
  const Vector<float> memory("memory", attention_memory(shape, element_of<T>, Host().concurrency()));
  attention_forward(test::queue(), shape, (*rig.rope)->rotation(), state, memory);
  attention_backward(test::queue(), shape, (*rig.rope)->rotation(), state, gradient, memory);
  const auto turned = [&](const Doubles& x, int heads, double sign) {
    return reference::rope(x, n.context, heads, n.head_dim, rig.config.model.rope_base, sign);
  };
  const Doubles tq = rounded_all<T>(turned(doubles(q), n.heads, 1.0)),
                tk = rounded_all<T>(turned(doubles(k), n.kv_heads, 1.0));
  Doubles dq, dk, dv;
  reference::attention_backward(n, tq, tk, doubles(v), doubles(dout), dq, dk, dv);
  EXPECT_LT(relative_error(reference::attention(n, tq, tk, doubles(v)), rig.values(state.out)), tolerance);
  EXPECT_LT(relative_error(turned(dq, n.heads, -1.0), rig.values(gradient.q)), 2 * tolerance);
  EXPECT_LT(relative_error(turned(dk, n.kv_heads, -1.0), rig.values(gradient.k)), 2 * tolerance);
  EXPECT_LT(relative_error(dv, rig.values(gradient.v)), 2 * tolerance);
}

TEST(AttentionWithRotation, AgreesWithReferenceInBothElements) {
  for (const Heads& n :
       {Heads{2, 5, 2, 1, 4}, Heads{3, 33, 4, 2, 8}, Heads{1, 64, 2, 2, 32}, Heads{2, 100, 3, 3, 10},
        Heads{1, 130, 4, 1, 64}, Heads{1, 37, 1, 1, 128}, Heads{2, 200, 4, 2, 32}, Heads{1, 300, 1, 1, 128}})
    for (const int spare : {0, 8}) {
      check_turned<float>(n, spare, 5e-6);
      check_turned<Bf16>(n, spare, 8e-3);
    }
}

}  // namespace
}  // namespace switchyard
