#include "moe/tally.hpp"

namespace switchyard::moe {

Tally make_tally(Arena& arena, const nn::Rows& rows, int experts, int bins) {
  Tally t;
  t.assigned = arena.matrix<std::int32_t>(rows.sequences, experts);
  t.kept = arena.matrix<std::int32_t>(rows.sequences, experts);
  t.margin = arena.matrix<std::int32_t>(rows.sequences, bins);
  t.mass = arena.matrix<double>(rows.sequences, experts);
  t.sums = arena.matrix<double>(rows.sequences, 2);
  t.token_margin = arena.vector<float>(rows.count);
  return t;
}

}  // namespace switchyard::moe
