// Files and outputs of one JSON object a line, in a test.
#pragma once
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace switchyard::test {

inline std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::vector<nlohmann::json> all;
  std::istringstream from(text);
  for (std::string line; std::getline(from, line);) all.push_back(nlohmann::json::parse(line));
  return all;
}

}  // namespace switchyard::test
