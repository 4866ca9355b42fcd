// Paths in the overrides of a sweep's tasks.
#pragma once
#include <string>
#include <vector>

namespace switchyard::sweep {

/// A task may start in another folder than the command that makes it: those of its corpus, placement file and
/// machine description become absolute.
void make_absolute(std::vector<std::string>& overrides);

}  // namespace switchyard::sweep
