#include "checkpoint/manifest.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <limits>

#include "base/check.hpp"
#include "base/files.hpp"
#include "base/json.hpp"
#include "base/schema_version.hpp"

namespace switchyard::checkpoint {

ManifestEntry measure_file(const std::string& folder, const std::string& name) {
  const std::string path = folder + "/" + name;
  return {name, static_cast<std::int64_t>(std::filesystem::file_size(path)), files::sha256_of_file(path)};
}

void check_file(const std::string& folder, const ManifestEntry& entry) {
  const std::string path = folder + "/" + entry.name, advice = "; use an older checkpoint";
  const std::filesystem::file_type kind = files::kind_at(path);
  check(kind != std::filesystem::file_type::not_found, Exit::corrupt, path + " is missing" + advice);
  check(kind == std::filesystem::file_type::regular, Exit::corrupt, path + " is no regular file" + advice);
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path, error);
  if (error) files::throw_system_error(error.value(), "read", path);
  check(static_cast<std::int64_t>(bytes) == entry.bytes, Exit::corrupt,
        path + " has " + std::to_string(bytes) + " bytes (the manifest says " + std::to_string(entry.bytes) + ")" +
            advice);
  check(files::sha256_of_file(path) == entry.sha256, Exit::corrupt,
        path + " is damaged (its sha256 is not the manifest's)" + advice);
}

std::string manifest_text(std::vector<ManifestEntry> entries) {
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  nlohmann::ordered_json json;
  json["schema"] = "switchyard-manifest";
  json["schema_version"] = schema_version;
  json["files"] = nlohmann::ordered_json::array();
  for (const auto& e : entries) json["files"].push_back({{"name", e.name}, {"bytes", e.bytes}, {"sha256", e.sha256}});
  return json.dump(1) + "\n";
}

std::vector<ManifestEntry> parse_manifest(const std::string& text, const std::string& path) {
  return parse_json(text, path, "; use an older checkpoint", [&](const nlohmann::json& json) {
    std::vector<ManifestEntry> entries;
    const auto version = whole(json, "schema_version", 0, std::numeric_limits<std::int64_t>::max());
    check(version >= oldest_schema_version && version <= schema_version, Exit::usage,
          path + " has a schema version that this program does not know; use the version that wrote it");
    for (const auto& e : json.at("files")) {
      entries.push_back({e.at("name"), whole(e, "bytes", 0, std::numeric_limits<std::int64_t>::max()), e.at("sha256")});
      check(files::is_plain_name(entries.back().name), Exit::corrupt,
            path + " is damaged (it names a file outside its folder)");
    }
    return entries;
  });
}

}  // namespace switchyard::checkpoint
