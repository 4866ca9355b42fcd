// Rules of train.frozen: parts that the model has, each once, and not all of them.
#include <algorithm>
#include <set>

#include "config/architecture.hpp"
#include "config/rules.hpp"

namespace switchyard {

void validate_frozen(const Config& config, Rules& rules) {
  const std::string key = "train.frozen";
  if (config.train.frozen.empty()) return;
  std::set<Role> has, named;
  for (const TensorSpec& tensor : architecture(config)) has.insert(tensor.role);
  std::vector<std::string> parts;
  for (const Role role : has) parts.push_back(format_value(role));
  for (const Role role : config.train.frozen) {
    const bool head = role == Role::head && config.model.tied;
    rules.require(has.contains(role), key,
                  "names " + format_value(role) + ", which the model does not have (" +
                      (head ? "its head is the embedding, by model.tied" : "it has " + join(parts)) +
                      "); leave it out");
    rules.require(named.insert(role).second, key, "names " + format_value(role) + " twice; leave one out");
  }
  rules.require(!std::ranges::includes(named, has), key,
                "names every part that the model has (nothing would be trained); leave one out");
}

}  // namespace switchyard
