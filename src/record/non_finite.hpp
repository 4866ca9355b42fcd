// Why a run stopped before an update: a value that is not finite, and where it appeared first.
#pragma once
#include <cstdint>
#include <string>

namespace switchyard::record {

struct NonFinite {
  std::int64_t step = 0;  ///< the step that was not done
  std::string value;      ///< "loss" or "gradient"
  int block = -1;         ///< −1 outside the blocks: embedding, head, or a balancing loss
  int expert = -1;        ///< global id; −1 for all else in the block
  std::string where;      ///< in words: "block 3, expert 5", "the head", a parameter's name
};

/// non_finite.json of the segment; docs/record-schema.md has its members.
std::string non_finite_json(const NonFinite& found);

}  // namespace switchyard::record
