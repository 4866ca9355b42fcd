#include "app/generated.hpp"

#include <nlohmann/json.hpp>

#include "config/values.hpp"
#include "record/provenance.hpp"

namespace switchyard {

std::string made_by(const std::vector<std::string>& command_line, std::uint64_t seed) {
  const nlohmann::ordered_json json = {
      {"command", join(command_line, " ")}, {"commit", record::program_commit()}, {"seed", seed}};
  return "# " + json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace switchyard
