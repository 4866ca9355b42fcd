// Causal grouped-query attention and rotary positions in double, plain loops, whole score matrices.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

namespace switchyard::reference {

using Doubles = std::vector<double>;

struct Heads {
  int sequences, context, heads, kv_heads, head_dim;
  std::size_t q(int s, int t, int h, int c) const {
    return ((static_cast<std::size_t>(s) * context + t) * heads + h) * head_dim + c;
  }
  std::size_t kv(int s, int t, int h, int c) const {
    return ((static_cast<std::size_t>(s) * context + t) * kv_heads + h) * head_dim + c;
  }
};

/// Probabilities of query t of one head over keys 0 … t.
inline Doubles attention_row(const Heads& n, const Doubles& q, const Doubles& k, int s, int h, int t) {
  const int g = h / (n.heads / n.kv_heads);
  Doubles p(t + 1, 0.0);
  double sum = 0.0;
  for (int j = 0; j <= t; ++j) {
    for (int c = 0; c < n.head_dim; ++c) p[j] += q[n.q(s, t, h, c)] * k[n.kv(s, j, g, c)];
    p[j] /= std::sqrt(n.head_dim);
  }
  const double top = *std::max_element(p.begin(), p.end());
  for (double& value : p) sum += value = std::exp(value - top);
  for (double& value : p) value /= sum;
  return p;
}

inline Doubles attention(const Heads& n, const Doubles& q, const Doubles& k, const Doubles& v) {
  Doubles out(q.size(), 0.0);
  for (int s = 0; s < n.sequences; ++s)
    for (int h = 0; h < n.heads; ++h)
      for (int t = 0; t < n.context; ++t) {
        const Doubles p = attention_row(n, q, k, s, h, t);
        for (int j = 0; j <= t; ++j)
          for (int c = 0; c < n.head_dim; ++c)
            out[n.q(s, t, h, c)] += p[j] * v[n.kv(s, j, h / (n.heads / n.kv_heads), c)];
      }
  return out;
}

inline void attention_backward(const Heads& n, const Doubles& q, const Doubles& k, const Doubles& v,
                               const Doubles& dout, Doubles& dq, Doubles& dk, Doubles& dv) {
  dq.assign(q.size(), 0.0), dk.assign(k.size(), 0.0), dv.assign(v.size(), 0.0);
  for (int s = 0; s < n.sequences; ++s)
    for (int h = 0; h < n.heads; ++h)
      for (int t = 0; t < n.context; ++t) {
        const int g = h / (n.heads / n.kv_heads);
        const Doubles p = attention_row(n, q, k, s, h, t);
        Doubles dp(t + 1, 0.0);
        double mean = 0.0;
        for (int j = 0; j <= t; ++j) {
          for (int c = 0; c < n.head_dim; ++c) {
            dp[j] += dout[n.q(s, t, h, c)] * v[n.kv(s, j, g, c)];
            dv[n.kv(s, j, g, c)] += p[j] * dout[n.q(s, t, h, c)];
          }
          mean += p[j] * dp[j];
        }
        for (int j = 0; j <= t; ++j)
          for (int c = 0; c < n.head_dim; ++c) {
            const double ds = p[j] * (dp[j] - mean) / std::sqrt(n.head_dim);
            dq[n.q(s, t, h, c)] += ds * k[n.kv(s, j, g, c)];
            dk[n.kv(s, j, g, c)] += ds * q[n.q(s, t, h, c)];
          }
      }
}

/// Turns channels (c, c + D/2) of every head of x(N, heads·D) by sign·position·base^(−2c/D).
inline Doubles rope(const Doubles& x, int context, int heads, int head_dim, double base, double sign) {
  Doubles y(x.size());
  const int half = head_dim / 2;
  for (std::size_t row = 0; row < x.size() / (heads * head_dim); ++row)
    for (int h = 0; h < heads; ++h)
      for (int c = 0; c < half; ++c) {
        const double angle = sign * static_cast<double>(row % context) * std::pow(base, -2.0 * c / head_dim);
        const std::size_t a = row * heads * head_dim + h * head_dim + c, b = a + half;
        y[a] = x[a] * std::cos(angle) - x[b] * std::sin(angle);
        y[b] = x[b] * std::cos(angle) + x[a] * std::sin(angle);
      }
  return y;
}

}  // namespace switchyard::reference
