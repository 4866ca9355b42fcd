// Which choices an expert of limited capacity drops, per grain and expert.
#pragma once
#include <cstdint>

#include "config/config.hpp"
#include "moe/choice_order.hpp"
#include "nn/rows.hpp"

namespace switchyard::moe {

/// C = ceil(factor · tokens · k / E) rows of one grain and expert.
std::int64_t capacity(double factor, std::int64_t tokens, int top_k, int experts);

/// The choices of one grain and expert beside each other: those of grain g and expert e are
/// member[first(g, e)] … member[first(g, e) + count(g, e) − 1], in ascending order.
struct ChoiceGroups {
  Matrix<std::int32_t> first;  ///< (grains, E)
  Matrix<std::int32_t> count;  ///< (grains, E + 1)
  Vector<std::int32_t> member;
};

/// `kept` of all choices of a pass.
class Drop {
 public:
  /// Of a layer of `experts`; no memory where the configuration has no capacity.
  Drop(Arena& arena, const Config& config, const nn::Rows& rows, int experts);
  /// At most `rows` choices of each expert in each grain. `weight`: the largest weights, then the smallest tokens.
  /// `position`: all first choices in token order, then all second ones, and so on.
  void keep_within(const Queue& queue, std::int64_t rows, const Choice& choice) const;

 private:
  DropOrder order_;
  Cut cut_;
  ExpertCounts counts_;
  ChoiceGroups groups_;
};

/// Keeps the heaviest `rows` of each group: capacity_host.cpp or capacity_cuda.cpp. May change the order of members.
void keep_heaviest(const Queue& queue, std::int64_t rows, const Cut& cut, const ChoiceGroups& groups,
                   const Choice& choice);

}  // namespace switchyard::moe
