// Which choices an expert of limited capacity drops; per grain and expert, on the host.
#pragma once
#include <cstdint>
#include <vector>

#include "config/config.hpp"

namespace switchyard::moe {

/// C = ceil(factor · tokens · k / E) rows of one grain and expert.
std::int64_t capacity(double factor, std::int64_t tokens, int top_k, int experts);

/// The choices of one grain: those of its token t are [first[t], first[t + 1]) of `expert` and `weight`, on the host.
struct GrainChoices {
  std::int64_t tokens;
  int experts;
  const std::int32_t* first;  ///< (tokens + 1)
  const std::int32_t* expert;
  const float* weight;
};

/// `kept` of each of them: at most `rows` of each expert. `weight`: the largest weights, then the smallest token ids.
/// `position`: all first choices in token order, then all second ones, and so on.
void keep_within(std::int64_t rows, DropOrder order, const GrainChoices& choices, std::uint8_t* kept);

}  // namespace switchyard::moe
