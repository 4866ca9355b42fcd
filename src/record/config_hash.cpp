#include "record/config_hash.hpp"

#include <cstdio>
#include <type_traits>

#include "base/fields.hpp"
#include "base/files.hpp"

namespace switchyard::record {
namespace {

bool changeable(const std::string& key) {
  return key.rfind("layout.", 0) == 0 || key.rfind("record.", 0) == 0 || key == "train.steps" ||
         key == "train.max_time";
}

std::string text_of(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}
std::string text_of(const std::string& value) { return value; }
template <class T>
requires std::is_integral_v<T> std::string text_of(T value) { return std::to_string(value); }
template <class E>
requires std::is_enum_v<E> std::string text_of(E value) { return EnumNames<E>::names[static_cast<std::size_t>(value)]; }
template <class T>
std::string text_of(const std::vector<T>& values) {
  std::string text = "[";
  for (const T& value : values) text += text_of(value) + ",";
  return text + "]";
}

/// Appends the options of a described struct to `text`.
struct Writer {
  std::string prefix;
  std::string& text;
  template <class T>
  void operator()(const char* name, const T& member, const char* /*unit*/, const char* /*help*/) const {
    const std::string key = prefix + name;
    if constexpr (Described<T>)
      T::fields(member, Writer{key + ".", text});
    else if (!changeable(key))
      text += key + "=" + text_of(member) + "\n";
  }
};

}  // namespace

std::string config_sha256_invariant(const Config& config) {
  std::string text;
  Config::fields(config, Writer{"", text});
  return files::sha256_of_text(text);
}

}  // namespace switchyard::record
