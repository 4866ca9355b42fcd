// The columns of results.h5 that are options of a task, by their keys.
#include <algorithm>
#include <map>

#include "config/options.hpp"
#include "config/values.hpp"
#include "config/yaml.hpp"
#include "record/schema.hpp"

namespace switchyard::record {
namespace {

/// The type of its column; none (text16) of texts and lists, which are of any length.
template <class T>
hdf5::Type column_type() {
  using enum hdf5::Type;
  if constexpr (std::is_enum_v<T>)
    return text32;
  else if constexpr (std::is_same_v<T, bool>)
    return u8;
  else if constexpr (std::is_floating_point_v<T>)
    return f64;
  else if constexpr (std::is_integral_v<T>)
    return i64;
  else
    return text16;
}

}  // namespace

bool is_option_name(const std::string& name) {
  const auto dot = name.find('.');
  return dot != name.npos && std::ranges::find(section_names(), name.substr(0, dot)) != section_names().end();
}

std::vector<Variable> option_variables() {
  struct Texts {
    std::string key, units, help;
  };
  static const std::vector<std::pair<Texts, hdf5::Type>> options = [] {
    std::vector<std::pair<Texts, hdf5::Type>> found;
    const Config defaults;
    visit_options(defaults, [&]<class T>(const std::string& key, const T&, const char* unit, const char* help) {
      if constexpr (!Described<T>) {
        const bool decides = !may_change_on_resume(key) || key == "train.steps";
        if (decides && column_type<T>() != hdf5::Type::text16)
          found.push_back({{key, *unit ? unit : "1", help}, column_type<T>()});
      }
    });
    return found;
  }();
  std::vector<Variable> variables;
  for (const auto& [texts, type] : options)
    variables.push_back({FileKind::results,
                         texts.key.c_str(),
                         {"row"},
                         type,
                         Scope::invariant,
                         texts.units.c_str(),
                         texts.help.c_str(),
                         1,
                         true});
  return variables;
}

}  // namespace switchyard::record
