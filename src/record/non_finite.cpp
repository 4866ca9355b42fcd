#include "record/non_finite.hpp"

#include <nlohmann/json.hpp>

namespace switchyard::record {
namespace {

nlohmann::ordered_json index_or_null(int index) {
  return index < 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(index);
}

}  // namespace

std::string non_finite_json(const NonFinite& found) {
  nlohmann::ordered_json j;
  j["schema"] = "switchyard-non-finite";
  j["schema_version"] = 1;
  j["step"] = found.step;
  j["value"] = found.value;
  j["block"] = index_or_null(found.block);
  j["expert"] = index_or_null(found.expert);
  j["where"] = found.where;
  return j.dump(2) + "\n";
}

}  // namespace switchyard::record
