// A resident plan (moe/plan.hpp) in one launch on a GPU: what count(), order_resident() and place() make in several.
#pragma once
#include "moe/choice_order.hpp"
#include "moe/resident_rows.hpp"

namespace switchyard::moe {

/// Whether plan_resident serves such choices: a matter of sizes only, since either way gives the same numbers.
bool plans_at_once(const Cut& cut, const Choice& choice, Index experts);

/// Of the kept choices: all that order_resident writes and the totals it reads, and row(choice), −1 where there is
/// none.
void plan_resident(const Queue& queue, const Cut& cut, const Choice& choice, const ResidentRows& ordered,
                   std::int32_t* row);

}  // namespace switchyard::moe
