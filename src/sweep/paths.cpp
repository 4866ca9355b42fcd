#include "sweep/paths.hpp"

#include <filesystem>

#include "config/layout.hpp"

namespace switchyard::sweep {

void make_absolute(std::vector<std::string>& overrides) {
  for (const std::string key : {"data.path=", "layout.placement=", "layout.machine="})
    for (std::string& o : overrides) {
      if (!o.starts_with(key) || o == key || o == key + contiguous_placement) continue;
      o = key + std::filesystem::absolute(o.substr(key.size())).lexically_normal().string();
    }
}

}  // namespace switchyard::sweep
