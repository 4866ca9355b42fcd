// What a run that starts from a checkpoint of another may have otherwise than that one.
#pragma once
#include <string>
#include <vector>

#include "config/config.hpp"

namespace switchyard {

/// The configuration that "key: value" lines (invariant_options) say; what they lack has its default.
Config config_of_options(const std::string& options);

/// Why `child` cannot go on with the parameters, moments and steps of a run with the configuration `parent`: an option
/// for each, with both values. Options of the architecture, where they come to something else, and of the tokens of a
/// step, which are what steps are counted in. A vocabulary that is not known yet (0) is left out.
std::vector<Violation> branch_violations(const Config& parent, const Config& child);

/// Why no mixture of `child` can begin as copies of the feed-forwards of a run with the configuration `parent`: that
/// must be dense (no experts, or one in a block), of the same model, with feed-forwards as wide as an expert.
std::vector<Violation> upcycle_violations(const Config& parent, const Config& child);

/// Why an upcycled mixture does not begin as the function that its parent was; "" where it does.
std::string upcycle_note(const Config& child);

}  // namespace switchyard
