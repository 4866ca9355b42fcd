// Lists of tasks in words, and models to make them of.
#pragma once
#include <string>
#include <vector>

#include "schedule/generators.hpp"

namespace switchyard::schedule {

/// "router<3" or "router<3.1": a stage, its direction (> forward, ^ recompute, < backward), its block and its lane
/// unless that is 0.
inline std::string word(const std::string& stage, Direction direction, int block) {
  static const char* const arrows[] = {">", "^", "<", ""};
  const char* arrow = arrows[static_cast<int>(direction)];
  return stage + arrow + (block >= 0 ? std::to_string(block) : "");
}
inline std::string in_lane(int lane) { return lane > 0 ? std::string(".").append(std::to_string(lane)) : ""; }

inline std::vector<std::string> words_of(const std::vector<Task>& tasks) {
  std::vector<std::string> words;
  for (const Task& t : tasks) words.push_back(word(name_of(t.stage), t.direction, t.block) + in_lane(t.lane));
  return words;
}

inline std::string line_of(const std::vector<Task>& tasks) {
  std::string line;
  for (const std::string& w : words_of(tasks)) line.append(line.empty() ? "" : " ").append(w);
  return line;
}

inline Config model(std::vector<int> experts, int shared = 0) {
  Config c;
  c.model.vocabulary = 40, c.model.width = 16, c.model.hidden = 32, c.moe.hidden = 8, c.model.heads = 4;
  c.model.blocks = static_cast<int>(experts.size());
  c.moe.experts_per_block = std::move(experts), c.moe.shared_experts = shared;
  return c;
}

}  // namespace switchyard::schedule
