// Walking over all options of a configuration by their dotted keys.
#pragma once
#include <string>
#include <type_traits>
#include <vector>

#include "base/fields.hpp"
#include "config/config.hpp"

namespace switchyard {

/// Calls f(key, member, unit, help) for every option in the order of declaration; key is dotted: "moe.top_k". Sections
/// are announced with their struct as the member.
template <class C, class F>
void visit_options(C& config, F&& f, const std::string& prefix = "") {
  std::remove_const_t<C>::fields(config, [&](const char* name, auto& member, const char* unit, const char* help) {
    using Member = std::remove_cvref_t<decltype(member)>;
    const std::string key = prefix + name;
    f(key, member, unit, help);
    if constexpr (Described<Member>) visit_options(member, f, key + ".");
  });
}

/// Calls f(key, member) for values only.
template <class C, class F>
void visit_values(C& config, F&& f) {
  visit_options(config, [&](const std::string& key, auto& member, const char*, const char*) {
    if constexpr (!Described<std::remove_cvref_t<decltype(member)>>) f(key, member);
  });
}

/// Dotted keys of all options, in order, without sections.
const std::vector<std::string>& option_keys();
/// Names of the sections.
const std::vector<std::string>& section_names();

/// The known key that a user most likely meant by `key` ("moe.n_expert" gives "moe.experts"); "" where none is near.
std::string suggest_key(const std::string& key);
/// The section most likely meant; "" where none is near.
std::string suggest_section(const std::string& name);
/// Insertions, deletions, substitutions and swaps of neighbours that turn a into b.
int edit_distance(const std::string& a, const std::string& b);

}  // namespace switchyard
