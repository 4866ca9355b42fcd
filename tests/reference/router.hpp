// Oracle of routing in plain double loops: scores, selection, weights, and the objective whose gradient the router
// claims.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <numeric>
#include <vector>

#include "config/config.hpp"
#include "reference/balance.hpp"

namespace switchyard::reference {

using Row = std::vector<double>;

inline Row softmax(const Row& x) {
  const double top = *std::max_element(x.begin(), x.end());
  Row p;
  for (const double v : x) p.push_back(std::exp(v - top));
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& v : p) v /= sum;
  return p;
}

inline double log_sum_exp(const Row& x) {
  const double top = *std::max_element(x.begin(), x.end());
  double sum = 0.0;
  for (const double v : x) sum += std::exp(v - top);
  return top + std::log(sum);
}

inline Row sigmoids(const Row& x) {
  Row s;
  for (const double v : x) s.push_back(1.0 / (1.0 + std::exp(-v)));
  return s;
}

/// What tells one router from another.
struct RouterRule {
  Row (*scores)(const Row& logits);  ///< what experts are ranked by, without the bias; null where there are no logits
  double guard;                      ///< added to the sums that scores are divided by
  bool softmax_of_chosen;            ///< the weights after selection: softmax of the chosen logits, or shares of scores
};

/// Throws std::out_of_range at a router without a line here.
inline const RouterRule& rule_of(RouterKind router) {
  static const std::map<RouterKind, RouterRule> rules{{RouterKind::softmax, {softmax, 0.0, true}},
                                                      {RouterKind::sigmoid, {sigmoids, 1e-20, false}},
                                                      {RouterKind::noisy_topk, {softmax, 0.0, true}},
                                                      {RouterKind::hash, {nullptr, 0.0, false}}};
  return rules.at(router);
}

inline Row scores(const MoeConfig& moe, const Row& logits) { return rule_of(moe.router).scores(logits); }

/// P of the losses: the scores with sum 1.
inline Row normalised(const MoeConfig& moe, const Row& logits) {
  Row p = scores(moe, logits);
  const double sum = std::accumulate(p.begin(), p.end(), rule_of(moe.router).guard);
  for (double& v : p) v /= sum;
  return p;
}

/// Indices by value descending, then index ascending.
template <class T>
std::vector<int> ranking(const std::vector<T>& value) {
  std::vector<int> order(value.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return value[a] > value[b]; });
  return order;
}

/// Which groups are kept, given score + bias.
template <class T>
std::vector<bool> kept_groups(const MoeConfig& moe, const std::vector<T>& value) {
  const int size = static_cast<int>(value.size()) / moe.groups;
  const int share = moe.group_score == GroupScore::max        ? 1
                    : moe.group_score == GroupScore::top2_sum ? std::min(2, size)
                                                              : moe.top_k / moe.groups_kept;
  std::vector<T> sums;
  for (int g = 0; g < moe.groups; ++g) {
    std::vector<T> group(value.begin() + g * size, value.begin() + (g + 1) * size);
    std::sort(group.rbegin(), group.rend());
    sums.push_back(std::accumulate(group.begin(), group.begin() + share, T{0}));
  }
  std::vector<bool> kept(moe.groups, false);
  const std::vector<int> order = ranking(sums);
  for (int j = 0; j < moe.groups_kept; ++j) kept[order[j]] = true;
  return kept;
}

/// The k experts by value = score + bias; `refused` stands for the value of experts outside the kept groups.
template <class T>
std::vector<int> selection(const MoeConfig& moe, std::vector<T> value, T refused = -INFINITY) {
  if (moe.groups > 1) {
    const std::vector<bool> kept = kept_groups(moe, value);
    for (std::size_t e = 0; e < value.size(); ++e)
      if (!kept[e * moe.groups / value.size()]) value[e] = refused;
  }
  std::vector<int> order = ranking(value);
  order.resize(moe.top_k);
  return order;
}

/// Combine weights of the experts chosen.
inline Row weights(const MoeConfig& moe, const Row& logits, const std::vector<int>& chosen) {
  const RouterRule& rule = rule_of(moe.router);
  const bool by_itself = moe.top_k > 1 || moe.router == RouterKind::noisy_topk;
  const bool after = moe.normalise == Normalise::after || (moe.normalise == Normalise::auto_ && by_itself);
  const Row values = after && rule.softmax_of_chosen ? logits : rule.scores(logits);
  Row w;
  for (const int e : chosen) w.push_back(values[e]);
  if (after && rule.softmax_of_chosen) w = softmax(w);
  const double sum = after ? std::accumulate(w.begin(), w.end(), rule.guard) : 1.0;
  for (double& v : w) v *= moe.scale / sum;
  return w;
}

/// All tokens of a batch, the choice made, and what the objective weighs the combine weights with.
struct Routing {
  int context = 0, grain_sequences = 1;
  std::vector<std::vector<int>> expert;
  std::vector<std::vector<std::uint8_t>> kept;
  std::vector<Row> dweight;
};

struct Losses {
  double weights = 0.0, aux = 0.0, importance = 0.0, z = 0.0, entropy = 0.0;
  double objective() const { return weights + aux + importance + z; }
};

/// Σ kept dweight·weight + balancing losses as functions of the logits (N, E); the choice is a constant.
inline Losses losses(const MoeConfig& moe, const Routing& r, const std::vector<Row>& logits) {
  const std::size_t tokens = logits.size(), experts = logits[0].size();
  const std::size_t unit = moe.aux_scope == AuxScope::batch   ? tokens
                           : moe.aux_scope == AuxScope::grain ? static_cast<std::size_t>(r.context) * r.grain_sequences
                                                              : r.context;
  Losses l;
  Row mass(experts, 0.0);
  for (std::size_t first = 0; first < tokens; first += unit) {
    Row count(experts, 0.0), part(experts, 0.0);
    for (std::size_t t = first; t < first + unit; ++t) {
      const Row p = normalised(moe, logits[t]);
      for (std::size_t e = 0; e < experts; ++e)
        part[e] += p[e], mass[e] += p[e], l.entropy -= p[e] * std::log(p[e]) / tokens;
      for (const int e : r.expert[t]) count[e] += 1.0;
    }
    l.aux += moe.aux_loss * switch_loss(count, part, unit, moe.top_k) * unit / tokens;
  }
  l.importance = moe.importance_loss * importance(moe.importance_form, mass, tokens);
  for (std::size_t t = 0; t < tokens; ++t) {
    const Row w = weights(moe, logits[t], r.expert[t]);
    for (std::size_t j = 0; j < w.size(); ++j) l.weights += r.kept[t][j] ? r.dweight[t][j] * w[j] : 0.0;
    l.z += moe.z_loss * std::pow(log_sum_exp(logits[t]), 2) / tokens;
  }
  return l;
}

}  // namespace switchyard::reference
