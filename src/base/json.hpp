// JSON from files, which may be damaged or made by someone else.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/check.hpp"

namespace switchyard {

/// What is wrong with a member that has the right type; parse_json adds the file.
struct BadMember : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The start of a value, for messages.
template <class Json>
std::string shown(const Json& value) {
  const std::string text = value.dump(-1, ' ', true);
  return text.size() > 40 ? text.substr(0, 40) + "…" : text;
}

/// What a member holds, which must be an integer of [min, max]: the library would cut one to fit. Throws BadMember.
template <class Json>
std::int64_t whole(const Json& j, const char* key, std::int64_t min, std::int64_t max) {
  const Json& value = j.at(key);
  const bool fits =
      value.is_number_integer() && !(value.is_number_unsigned() && value.template get<std::uint64_t>() >> 63);
  if (!fits || value.template get<std::int64_t>() < min || value.template get<std::int64_t>() > max)
    throw BadMember(std::string(key) + " is " + shown(value) + ", not a whole number from " + std::to_string(min) +
                    " to " + std::to_string(max));
  return value.template get<std::int64_t>();
}

/// The member "seed": any number of 64 bits without a sign. Throws BadMember.
template <class Json>
std::uint64_t seed_of(const Json& j) {
  const Json& value = j.at("seed");
  if (!value.is_number_unsigned()) throw BadMember("seed is " + shown(value) + ", no seed");
  return value.template get<std::uint64_t>();
}

/// Throws BadMember where an object has a member twice, of which the library would keep the last without a word.
template <class Json>
typename Json::parser_callback_t each_once() {
  return
      [open = std::vector<std::set<std::string>>()](int, nlohmann::detail::parse_event_t event, Json& parsed) mutable {
        using Event = nlohmann::detail::parse_event_t;
        if (event == Event::object_start) open.emplace_back();
        if (event == Event::object_end) open.pop_back();
        if (event == Event::key && !open.back().insert(parsed.template get<std::string>()).second)
          throw BadMember("it has the member " + shown(parsed) + " twice");
        return true;
      };
}

/// parse(json) of `text`; any error of the parser or of a member (missing, twice, of another type, BadMember) is
/// Error{corrupt}: "PATH is damaged (…)" and `advice`, e.g. "; use an older checkpoint".
template <class Json = nlohmann::json, class Parse>
auto parse_json(const std::string& text, const std::string& path, const std::string& advice, Parse parse) {
  try {
    if (text.find('\0') != text.npos) throw BadMember("it holds a byte 0");  // at which the library would end in peace
    return parse(Json::parse(text, each_once<Json>()));
  } catch (const nlohmann::json::exception& error) {
    throw Error(Exit::corrupt, path + " is damaged (" + error.what() + ")" + advice);
  } catch (const BadMember& error) {
    throw Error(Exit::corrupt, path + " is damaged (" + error.what() + ")" + advice);
  }
}

}  // namespace switchyard
