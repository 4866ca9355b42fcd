#include "moe/capacity.hpp"

#include <algorithm>
#include <cmath>

#include "tensor/lanes.hpp"

namespace switchyard::moe {
namespace {

void keep_first(std::int64_t rows, const GrainChoices& c, std::uint8_t* kept) {
  std::vector<std::int64_t> taken(c.experts, 0);
  bool more = c.tokens > 0;
  for (std::int64_t j = 0; more; ++j) {  // the j-th choice of every token that has one
    more = false;
    for (std::int64_t t = 0; t < c.tokens; ++t) {
      const std::int64_t i = c.first[t] + j;
      if (i >= c.first[t + 1]) continue;
      kept[i] = taken[c.expert[i]]++ < rows;
      more = true;
    }
  }
}

/// The choices of every expert, by expert, tokens ascending; [offset[e], offset[e + 1]) belong to expert e.
std::vector<std::int64_t> by_expert(const GrainChoices& c, std::vector<std::int64_t>& offset) {
  const std::int64_t begin = c.first[0], end = c.first[c.tokens];
  offset.assign(c.experts + 1, 0);
  for (std::int64_t i = begin; i < end; ++i) ++offset[c.expert[i] + 1];
  for (int e = 0; e < c.experts; ++e) offset[e + 1] += offset[e];
  std::vector<std::int64_t> next(offset.begin(), offset.end() - 1), choices(end - begin);
  for (std::int64_t i = begin; i < end; ++i) choices[next[c.expert[i]]++] = i;
  return choices;
}

void keep_heaviest(std::int64_t rows, const GrainChoices& c, std::uint8_t* kept) {
  std::vector<std::int64_t> offset, choices = by_expert(c, offset);
  std::fill(kept + c.first[0], kept + c.first[c.tokens], std::uint8_t{1});
  // A token chooses an expert once, so the order of choices is the order of tokens; keys order NaN too.
  const auto heavier = [&](std::int64_t a, std::int64_t b) {
    const std::int32_t x = ordered_bits(c.weight[a]), y = ordered_bits(c.weight[b]);
    return x != y ? x > y : a < b;
  };
  for (int e = 0; e < c.experts; ++e) {
    if (offset[e + 1] - offset[e] <= rows) continue;
    const auto first = choices.begin() + offset[e], last = choices.begin() + offset[e + 1];
    std::nth_element(first, first + rows, last, heavier);
    std::for_each(first + rows, last, [&](std::int64_t i) { kept[i] = 0; });
  }
}

}  // namespace

std::int64_t capacity(double factor, std::int64_t tokens, int top_k, int experts) {
  const double rows = factor * static_cast<double>(tokens) * top_k / experts;
  // 1.1 · 10 rows are 11, though their product in double is above it.
  return static_cast<std::int64_t>(std::ceil(rows * (1.0 - 1e-12)));
}

void keep_within(std::int64_t rows, DropOrder order, const GrainChoices& choices, std::uint8_t* kept) {
  if (order == DropOrder::position)
    keep_first(rows, choices, kept);
  else
    keep_heaviest(rows, choices, kept);
}

}  // namespace switchyard::moe
