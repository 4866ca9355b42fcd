#include "bench/loads.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.hpp"

namespace switchyard::bench {
namespace {

/// What numbers are drawn for; keys their streams.
enum class Draw : std::uint64_t { own = 1, chance, expert_order, token_order };

/// splitmix64.
std::uint64_t mix(std::uint64_t i) {
  std::uint64_t z = i + 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

std::uint64_t bits(Draw draw, std::uint64_t i) { return mix(mix(static_cast<std::uint64_t>(draw)) + i); }

/// Normal to the eye: twelve uniform numbers, of additions alone, which round alike everywhere.
double normal(Draw draw, std::uint64_t i) {
  double sum = -6.0;
  for (std::uint64_t j = 0; j < 12; ++j) sum += static_cast<double>(bits(draw, 12 * i + j) >> 11) * 0x1p-53;
  return sum;
}

/// 0 … n − 1 in a random order.
std::vector<std::int64_t> order(Draw draw, std::int64_t n) {
  std::vector<std::int64_t> all(n);
  std::iota(all.begin(), all.end(), 0);
  std::sort(all.begin(), all.end(), [draw](std::int64_t a, std::int64_t b) {
    return std::pair(bits(draw, a), a) < std::pair(bits(draw, b), b);
  });
  return all;
}

std::vector<double> weights(Load load, const LoadShape& shape) {
  const double mean = double(shape.rows()) / shape.experts;
  std::vector<double> all(shape.experts, 1.0);
  if (load == Load::jittered)
    for (int e = 0; e < shape.experts; ++e)
      all[e] =
          std::max(mean * (1.0 + 0.1 * normal(Draw::own, e)) + std::sqrt(mean) * normal(Draw::chance, e), 0.1 * mean);
  if (load == Load::zipf) {
    const std::vector<std::int64_t> ranked = order(Draw::own, shape.experts);
    for (int r = 0; r < shape.experts; ++r) all[ranked[r]] = 1.0 / (r + 1);
  }
  return all;
}

/// Rows by weight, at most as many as there are tokens: what is beyond goes to the others, by weight again.
std::vector<double> shares(const std::vector<double>& weights, const LoadShape& shape) {
  std::vector<double> all(weights.size());
  std::vector<bool> full(weights.size(), false);
  for (bool more = true; more;) {
    double sum = 0.0, left = double(shape.rows());
    for (std::size_t e = 0; e < all.size(); ++e) full[e] ? left -= double(shape.tokens) : sum += weights[e];
    more = false;
    for (std::size_t e = 0; e < all.size(); ++e) {
      all[e] = full[e] ? double(shape.tokens) : left * weights[e] / sum;
      if (!full[e] && all[e] > double(shape.tokens)) full[e] = more = true;
    }
  }
  return all;
}

}  // namespace

std::vector<std::int64_t> expert_loads(Load load, const LoadShape& shape) {
  expect(shape.experts >= 1 && shape.top_k >= 1 && shape.top_k <= shape.experts && shape.tokens >= 1,
         "choices of different experts");
  const std::int64_t least = shape.rows() >= shape.experts ? 1 : 0;
  std::vector<std::int64_t> loads;
  std::int64_t sum = 0;
  for (const double share : shares(weights(load, shape), shape)) {
    loads.push_back(std::clamp(static_cast<std::int64_t>(share), least, shape.tokens));
    sum += loads.back();
  }
  for (std::size_t e = 0; sum != shape.rows(); e = (e + 1) % loads.size()) {  // what rounding left
    if (sum < shape.rows() && loads[e] < shape.tokens)
      ++loads[e], ++sum;
    else if (sum > shape.rows() && loads[e] > least)
      --loads[e], --sum;
  }
  return loads;
}

// Experts in a random order, each as often as it has rows, lie in top_k lines of all tokens. The rows of one are at
// most one line long and lie together, so no token meets it twice.
std::vector<std::int32_t> forced_choices(const std::vector<std::int64_t>& loads, const LoadShape& shape) {
  const std::vector<std::int64_t> experts = order(Draw::expert_order, shape.experts),
                                  tokens = order(Draw::token_order, shape.tokens);
  std::vector<std::int32_t> choices(shape.rows());
  std::int64_t at = 0;
  for (const std::int64_t e : experts)
    for (std::int64_t i = 0; i < loads[e]; ++i, ++at)
      choices[tokens[at % shape.tokens] * shape.top_k + at / shape.tokens] = static_cast<std::int32_t>(e);
  return choices;
}

std::uint64_t digest_of(const std::vector<std::int32_t>& choices) {
  std::uint64_t digest = 0xCBF29CE484222325ull;
  for (const std::int32_t expert : choices) digest = (digest ^ static_cast<std::uint64_t>(expert)) * 0x100000001B3ull;
  return digest;
}

}  // namespace switchyard::bench
