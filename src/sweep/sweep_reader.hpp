// What a sweep file says, read with the places of all that is wrong; private to the folder.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace switchyard::sweep {

constexpr std::int64_t max_tasks = 4096;  ///< each is checked before the first begins

/// Of a sweep whose tasks are trunks and what is decayed from them. One of `steps` and `tokens` is given.
struct Branches {
  std::vector<std::int64_t> steps, tokens;  ///< of a branch at its end, its trunk's part included; ascending
  double decay_share = 0.2;                 ///< of them, the last ones, in which the rate falls
  bool given() const { return !steps.empty() || !tokens.empty(); }
};

/// What a sweep file says.
struct Axes {
  std::string configuration;
  std::vector<std::string> set;
  std::vector<int> experts, top_k, granularity{1};
  std::vector<std::uint64_t> seeds{1};
  std::vector<std::pair<std::string, std::vector<std::string>>> arms;
  Branches branches;
  double rate_exponent = 0.0;
  int ranks = 1;
};

/// Of the text of a sweep file, with every complaint ("FILE:LINE:COLUMN: …") added to `errors`.
Axes read_axes(const std::string& file, const std::string& text, std::vector<std::string>& errors);

/// The key of section.key=value; all of a number.
inline std::string key_of(const std::string& value) { return value.substr(0, value.find('=')); }

/// Adds section.key=value; a later value of a key takes the place of an earlier one.
inline void put_over(std::vector<std::string>& values, const std::vector<std::string>& more) {
  for (const std::string& one : more) {
    std::erase_if(values, [&](const std::string& o) { return key_of(o) == key_of(one); });
    values.push_back(one);
  }
}

}  // namespace switchyard::sweep
