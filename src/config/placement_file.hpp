// Reading a placement file, as `yardstick placement` writes it: docs/placement.md says what it may hold.
#pragma once
#include <string>

#include "config/yaml.hpp"

namespace switchyard {

/// Whether layout.placement names a file.
inline bool names_placement(const Config& config) { return config.layout.placement != contiguous_placement; }
/// Text of that file. Throws Error{usage}, with the place of the option, where it cannot be read.
std::string placement_text(const LoadResult& loaded);
/// Keeps in the configuration, which is valid, what the text says; its first fault becomes an error: file, line and
/// column, and what was expected.
void take_placement(LoadResult& loaded, const std::string& text);
/// Both, with an error where the file cannot be read. Nothing where there are errors already, or no file.
void add_placement(LoadResult& loaded);

}  // namespace switchyard
