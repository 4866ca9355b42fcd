// Option values as text: strict reading (no octal, no quotes, nothing left over) and writing that reads back the same.
#pragma once
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "config/config.hpp"

namespace switchyard {

/// Reads `text` into `value`; returns "" or what is wrong with the text, as in `"1e3" is not an integer; write 1000`.
std::string parse_value(const std::string& text, int& value);
std::string parse_value(const std::string& text, std::int64_t& value);
std::string parse_value(const std::string& text, std::uint64_t& value);
std::string parse_value(const std::string& text, double& value);
std::string parse_value(const std::string& text, bool& value);
std::string parse_value(const std::string& text, std::string& value);
/// Index in `names` of `text`, through `value`; the message lists the names.
std::string parse_name(const std::string& text, const std::vector<std::string>& names, int& value);

template <class E>
requires std::is_enum_v<E> std::string parse_value(const std::string& text, E& value) {
  int index = 0;
  const std::string wrong = parse_name(text, EnumNames<E>::names, index);
  if (wrong.empty()) value = static_cast<E>(index);
  return wrong;
}

/// Text that parse_value reads back to the same value; doubles are the shortest such text.
std::string format_value(int value);
std::string format_value(std::int64_t value);
std::string format_value(std::uint64_t value);
std::string format_value(double value);
std::string format_value(bool value);
/// Quoted where YAML would read the plain text as something else.
std::string format_value(const std::string& value);
std::string format_value(const std::vector<int>& value);

template <class E>
requires std::is_enum_v<E> std::string format_value(E value) {
  return EnumNames<E>::names[static_cast<std::size_t>(value)];
}

/// An option that is a list of names.
template <class T>
constexpr bool is_name_list = false;
template <class E>
constexpr bool is_name_list<std::vector<E>> = std::is_enum_v<E>;

template <class E>
requires std::is_enum_v<E> std::string format_value(const std::vector<E>& value) {
  std::string out = "[";
  for (const E v : value) out.append(out.size() > 1 ? ", " : "").append(format_value(v));
  return out.append("]");
}

/// "a, b, c".
std::string join(const std::vector<std::string>& parts, const std::string& separator = ", ");

/// Names an enumeration may take; empty for other types.
template <class T>
std::vector<std::string> allowed_names() {
  if constexpr (std::is_enum_v<T>)
    return EnumNames<T>::names;
  else
    return {};
}

/// The kind of value an option takes, as errors and the reference call it.
template <class T>
std::string kind_name() {
  if constexpr (std::is_enum_v<T>)
    return "one of " + join(EnumNames<T>::names);
  else if constexpr (std::is_same_v<T, bool>)
    return "true or false";
  else if constexpr (std::is_floating_point_v<T>)
    return "a number";
  else if constexpr (std::is_unsigned_v<T>)
    return "an integer from 0";
  else if constexpr (std::is_integral_v<T>)
    return "an integer";
  else if constexpr (std::is_same_v<T, std::string>)
    return "text";
  else if constexpr (is_name_list<T>)
    return "a list of names: " + join(EnumNames<typename T::value_type>::names);
  else
    return "a list of integers";
}

/// Length of the valid UTF-8 without control characters at the start of `text` (tab counts as control, line feed too).
std::size_t clean_utf8_length(const std::string& text);

}  // namespace switchyard
