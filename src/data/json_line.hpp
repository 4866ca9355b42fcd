// One line of a .jsonl file.
#pragma once
#include <optional>
#include <string>

namespace switchyard::data {

struct JsonLine {
  std::optional<std::string> text, domain;
  std::string error;  ///< what is wrong, with the column (in bytes, from 1) where the parser gives one; else empty
};

/// The strings `text` and `domain` of a JSON object; nothing else of it is kept.
JsonLine read_json_line(const std::string& line);

}  // namespace switchyard::data
