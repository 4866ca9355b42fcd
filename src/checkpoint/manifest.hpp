// manifest.json of a checkpoint: the files that belong to it, with sizes and checksums.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace switchyard::checkpoint {

struct ManifestEntry {
  std::string name;
  std::int64_t bytes = 0;
  std::string sha256;
};

/// Measures a finished file.
ManifestEntry measure_file(const std::string& folder, const std::string& name);
/// Throws Error{corrupt} naming the file if it is missing or differs from the entry.
void check_file(const std::string& folder, const ManifestEntry& entry);

std::string manifest_text(std::vector<ManifestEntry> entries);
/// Throws Error{corrupt} naming `path` where the text is no manifest of this schema version.
std::vector<ManifestEntry> parse_manifest(const std::string& text, const std::string& path);

}  // namespace switchyard::checkpoint
