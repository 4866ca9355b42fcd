// The whole model's objective in double, plain loops: what the gradients of the real one are differences of.
#pragma once
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "reference/attention.hpp"
#include "reference/head.hpp"
#include "reference/norm.hpp"

namespace switchyard::reference {

using Weights = std::map<std::string, Doubles>;

/// y(n, out) = x(n, in)·Wᵀ with W (out, in).
inline Doubles product(const Doubles& x, const double* w, std::size_t out, std::size_t in) {
  Doubles y(x.size() / in * out, 0.0);
  for (std::size_t i = 0; i < x.size() / in; ++i)
    for (std::size_t o = 0; o < out; ++o)
      for (std::size_t c = 0; c < in; ++c) y[i * out + o] += x[i * in + c] * w[o * in + c];
  return y;
}

inline double activate(Activation kind, double gate, double up) {
  if (kind == Activation::gelu) return up * 0.5 * std::erfc(-up / std::sqrt(2.0));
  if (kind == Activation::relu) return std::max(up, 0.0);
  return gate / (1.0 + std::exp(-gate)) * up;
}

/// One feed-forward, dense or expert; `gate` is null in the two-matrix forms.
inline Doubles feed_forward(Activation kind, const Doubles& x, const double* gate, const double* up, const double* down,
                            std::size_t hidden, std::size_t d) {
  Doubles h = product(x, up, hidden, d);
  const Doubles g = gate ? product(x, gate, hidden, d) : h;
  for (std::size_t i = 0; i < h.size(); ++i) h[i] = activate(kind, g[i], h[i]);
  return product(h, down, d, hidden);
}

/// Softmax router, normalised over the selected: each token's top-k experts, weighted by the softmax of their scores.
inline Doubles mixture(const Config& config, const Weights& w, const std::string& prefix, int experts,
                       const Doubles& x) {
  const std::size_t d = config.model.width, hidden = config.moe.hidden, part = d * hidden;
  const Doubles scores = product(x, w.at(prefix + "router.weight").data(), experts, d);
  const auto gate = w.find(prefix + "experts.gate.weight");
  Doubles y(x.size(), 0.0);
  for (std::size_t i = 0; i < x.size() / d; ++i) {
    const double* s = &scores[i * experts];
    std::vector<int> order(experts);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return s[a] > s[b]; });
    double sum = 0.0;
    for (int j = 0; j < config.moe.top_k; ++j) sum += std::exp(s[order[j]]);
    const Doubles row(x.begin() + i * d, x.begin() + (i + 1) * d);
    for (int j = 0; j < config.moe.top_k; ++j) {
      const int e = order[j];
      const Doubles out = feed_forward(
          config.model.activation, row, gate == w.end() ? nullptr : &gate->second[e * part],
          &w.at(prefix + "experts.up.weight")[e * part], &w.at(prefix + "experts.down.weight")[e * part], hidden, d);
      for (std::size_t c = 0; c < d; ++c) y[i * d + c] += std::exp(s[e]) / sum * out[c];
    }
  }
  return y;
}

inline void add(Doubles& to, const Doubles& from) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
}

inline Doubles grouped_attention(const Config& config, const Weights& w, const std::string& prefix, const Doubles& x) {
  const ModelConfig& m = config.model;
  const int d = m.width, kv = config.kv_heads() * config.head_dim(), tokens = static_cast<int>(x.size()) / d;
  const Heads heads{tokens / m.context, m.context, m.heads, config.kv_heads(), config.head_dim()};
  Doubles q = product(x, w.at(prefix + "q.weight").data(), d, d),
          k = product(x, w.at(prefix + "k.weight").data(), kv, d);
  q = rope(q, m.context, m.heads, config.head_dim(), m.rope_base, 1.0);
  k = rope(k, m.context, config.kv_heads(), config.head_dim(), m.rope_base, 1.0);
  const Doubles out = attention(heads, q, k, product(x, w.at(prefix + "v.weight").data(), kv, d));
  return product(out, w.at(prefix + "o.weight").data(), d, d);
}

/// Of the weights whose names begin with `prefix`. Throws std::out_of_range at an attention without a line here.
inline Doubles attention_half(const Config& config, const Weights& w, const std::string& prefix, const Doubles& x) {
  static const std::map<AttentionKind, decltype(&grouped_attention)> rules{{AttentionKind::grouped, grouped_attention}};
  return rules.at(config.model.attention)(config, w, prefix, x);
}

inline Doubles feed_forward_half(const Config& config, const Weights& w, int block, const Doubles& x) {
  const std::string prefix = "blocks." + std::to_string(block);
  if (const int experts = config.block_experts(block)) return mixture(config, w, prefix + ".moe.", experts, x);
  const auto gate = w.find(prefix + ".feed_forward.gate.weight");
  return feed_forward(config.model.activation, x, gate == w.end() ? nullptr : gate->second.data(),
                      w.at(prefix + ".feed_forward.up.weight").data(),
                      w.at(prefix + ".feed_forward.down.weight").data(), config.model.hidden, config.model.width);
}

/// (N, V) of whole sequences.
inline Doubles logits(const Config& config, const Weights& w, const std::vector<int>& tokens) {
  const std::size_t d = config.model.width;
  const double epsilon = config.model.norm_epsilon;
  Doubles x;
  for (const int token : tokens) {
    const double* row = &w.at("embedding.weight")[token * d];
    x.insert(x.end(), row, row + d);
  }
  for (int b = 0; b < config.model.blocks; ++b) {
    const std::string prefix = "blocks." + std::to_string(b);
    add(x, attention_half(config, w, prefix + ".attention.",
                          rms_norm(x, w.at(prefix + ".attention_norm.weight"), epsilon)));
    add(x, feed_forward_half(config, w, b, rms_norm(x, w.at(prefix + ".feed_forward_norm.weight"), epsilon)));
  }
  return product(rms_norm(x, w.at("final_norm.weight"), epsilon),
                 w.at(config.model.tied ? "embedding.weight" : "head.weight").data(), config.model.vocabulary, d);
}

/// Mean cross-entropy plus the head's z-loss; without the balancing losses.
inline double objective(const Config& config, const Weights& w, const std::vector<int>& tokens,
                        const std::vector<int>& targets) {
  const Doubles all = logits(config, w, tokens);
  const std::size_t vocabulary = config.model.vocabulary;
  double sum = 0.0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const RowLoss row =
        head_row(Doubles(all.begin() + i * vocabulary, all.begin() + (i + 1) * vocabulary), targets[i], 1.0, 0.0);
    sum += row.cross_entropy + config.model.z_loss * row.log_sum * row.log_sum;
  }
  return sum / static_cast<double>(tokens.size());
}

}  // namespace switchyard::reference
