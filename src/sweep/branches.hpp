// Trunks at a constant rate and what is decayed from them.
#pragma once
#include <string>
#include <vector>

#include "sweep/sweep.hpp"
#include "sweep/sweep_reader.hpp"

namespace switchyard::sweep {

/// What a task becomes: a trunk as long as the last branch needs it, then a branch for each length, which leaves it
/// where its decay begins, at a whole chunk of rows. `wrong` takes what makes that impossible.
std::vector<Task> branched(const Task& task, const Branches& branches, const Sweep& sweep, std::string& wrong);

/// Whether the checkpoint stands that the branch `task` starts from.
bool has_trunk(const std::string& folder, const Sweep& sweep, const Task& task);
/// TASK's trunk among the tasks; a task that is none of a branch has none.
const Task* trunk_of(const Sweep& sweep, const Task& task);
/// "FOLDER/tasks/NAME@STEP", for train::Ancestor; "" for what is no branch.
std::string origin_of(const std::string& folder, const Sweep& sweep, const Task& task);

}  // namespace switchyard::sweep
