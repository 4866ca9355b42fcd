// Published recipes of routing and balancing, by name: what `preset: NAME` puts before anything that a file or the
// command line says.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace switchyard {

struct Preset {
  std::string name;
  std::string source;                                       ///< where it was published
  std::vector<std::pair<std::string, std::string>> values;  ///< of options by dotted key
};

const std::vector<Preset>& presets();
/// Null where there is none of that name.
const Preset* find_preset(const std::string& name);
/// The presets in Markdown, each with its values and its source.
std::string presets_markdown();

}  // namespace switchyard
