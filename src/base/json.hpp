// JSON from files, which may be damaged or made by someone else.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "base/check.hpp"

namespace switchyard {

/// parse(json) of `text`; any error of the parser or of a member (missing, of another type, out of range) is
/// Error{corrupt}: "PATH is damaged (…)" and `advice`, e.g. "; use an older checkpoint".
template <class Json = nlohmann::json, class Parse>
auto parse_json(const std::string& text, const std::string& path, const std::string& advice, Parse parse) {
  try {
    return parse(Json::parse(text));
  } catch (const nlohmann::json::exception& error) {
    throw Error(Exit::corrupt, path + " is damaged (" + error.what() + ")" + advice);
  }
}

}  // namespace switchyard
