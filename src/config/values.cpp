// Strict text of option values: the grammar of JSON numbers, exact words for booleans and enumerations.
#include "config/values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/utf8.hpp"

namespace switchyard {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }

std::string quoted(const std::string& text) { return std::string("\"").append(text).append("\""); }

std::size_t skip_digits(const std::string& t, std::size_t i) {
  while (i < t.size() && digit(t[i])) ++i;
  return i;
}

/// End of "-?(0|[1-9][0-9]*)" at the start of t; 0 where there is none.
std::size_t integer_end(const std::string& t) {
  const std::size_t start = !t.empty() && t[0] == '-' ? 1 : 0;
  if (start == t.size() || !digit(t[start])) return 0;
  return t[start] == '0' ? start + 1 : skip_digits(t, start);
}

bool is_integer_text(const std::string& t) { return !t.empty() && integer_end(t) == t.size(); }

/// JSON's grammar of numbers.
bool is_number_text(const std::string& t) {
  std::size_t i = integer_end(t);
  if (i == 0) return false;
  if (i < t.size() && t[i] == '.') {
    const std::size_t fraction = i + 1;
    i = skip_digits(t, fraction);
    if (i == fraction) return false;
  }
  if (i < t.size() && (t[i] == 'e' || t[i] == 'E')) {
    ++i;
    if (i < t.size() && (t[i] == '+' || t[i] == '-')) ++i;
    const std::size_t exponent = i;
    i = skip_digits(t, exponent);
    if (i == exponent) return false;
  }
  return i == t.size();
}

/// What to write in place of `t`, for spellings that other programs read as numbers; "" where nothing is certain.
std::string integer_hint(const std::string& t) {
  const std::string bare = !t.empty() && (t[0] == '-' || t[0] == '+') ? t.substr(1) : t;
  if (bare.size() > 1 && bare[0] == '0' && skip_digits(bare, 0) == bare.size())
    return "; leading zeros are refused because some readers take them as octal";
  if (bare.starts_with("0x") || bare.starts_with("0o") || bare.starts_with("0b")) return "; write it in decimal digits";
  double value = 0.0;
  if (is_number_text(t) && std::from_chars(t.data(), t.data() + t.size(), value).ec == std::errc{} &&
      std::trunc(value) == value && std::abs(value) < 1e15)
    return "; write " + std::to_string(static_cast<std::int64_t>(value));
  return "; write it in decimal digits only";
}

template <class T>
std::string parse_integer(const std::string& text, T& value) {
  if (!is_integer_text(text)) return quoted(text) + " is not an integer" + integer_hint(text);
  T parsed{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), parsed);
  if (error != std::errc{} || end != text.data() + text.size())
    return text + " is out of range; must be in [" + std::to_string(std::numeric_limits<T>::min()) + ", " +
           std::to_string(std::numeric_limits<T>::max()) + "]";
  value = parsed;
  return "";
}

bool plain_in_yaml(const std::string& t) {
  static const std::array<std::string, 9> words{"true", "false", "null", "yes", "no", "on", "off", "y", "n"};
  std::string lower = t;
  for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  const auto safe = [](char c) {
    return digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '/' || c == '_';
  };
  return !t.empty() && safe(t[0]) && !digit(t[0]) && std::find(words.begin(), words.end(), lower) == words.end() &&
         std::all_of(t.begin(), t.end(), [&](char c) { return safe(c) || c == '.' || c == '-'; });
}

}  // namespace

std::string parse_value(const std::string& text, int& value) { return parse_integer(text, value); }
std::string parse_value(const std::string& text, std::int64_t& value) { return parse_integer(text, value); }
std::string parse_value(const std::string& text, std::uint64_t& value) { return parse_integer(text, value); }

std::string parse_value(const std::string& text, double& value) {
  if (!is_number_text(text)) return quoted(text) + " is not a number; write it like 0.001, 1e-3 or 12";
  double parsed = 0.0;
  if (std::from_chars(text.data(), text.data() + text.size(), parsed).ec != std::errc{})
    return text + " is out of range of a double";
  value = parsed;
  return "";
}

std::string parse_value(const std::string& text, bool& value) {
  if (text != "true" && text != "false") return quoted(text) + " is not a truth value; write true or false";
  value = text == "true";
  return "";
}

std::string parse_value(const std::string& text, std::string& value) {
  if (text.empty()) return "is empty";
  if (const std::size_t clean = clean_utf8_length(text); clean < text.size())
    return "byte " + std::to_string(clean + 1) + " of the text is a control character or not UTF-8";
  value = text;
  return "";
}

std::string parse_name(const std::string& text, const std::vector<std::string>& names, int& value) {
  const auto it = std::find(names.begin(), names.end(), text);
  if (it == names.end()) return quoted(text) + (names.size() == 1 ? " must be " : " must be one of ") + join(names);
  value = static_cast<int>(it - names.begin());
  return "";
}

std::string format_value(int value) { return std::to_string(value); }
std::string format_value(std::int64_t value) { return std::to_string(value); }
std::string format_value(std::uint64_t value) { return std::to_string(value); }
std::string format_value(bool value) { return value ? "true" : "false"; }

std::string format_value(double value) {
  std::array<char, 40> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

std::string format_value(const std::string& value) {
  if (plain_in_yaml(value)) return value;
  std::string out = "'";
  for (const char c : value) out += c == '\'' ? std::string("''") : std::string(1, c);
  return out + "'";
}

std::string format_value(const std::vector<int>& value) {
  std::string out = "[";
  for (const int v : value) out.append(out.size() > 1 ? ", " : "").append(std::to_string(v));
  return out.append("]");
}

std::string join(const std::vector<std::string>& parts, const std::string& separator) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : separator) + part;
  return out;
}

std::size_t clean_utf8_length(const std::string& text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const std::size_t n = utf8_length(text, i);
    const auto c = static_cast<unsigned char>(text[i]);
    if (n == 0 || c < 0x20 || c == 0x7f) break;
    i += n;
  }
  return i;
}

}  // namespace switchyard
