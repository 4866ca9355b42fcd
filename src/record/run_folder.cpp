#include "record/run_folder.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "base/check.hpp"
#include "base/files.hpp"

namespace switchyard::record {

namespace fs = std::filesystem;

RunFolder::RunFolder(const std::string& path) : path_(path) {
  std::error_code error;
  fs::create_directories(path + "/segments", error);
  if (error) files::throw_system_error(error.value(), "create", path + "/segments");
  lock_ = FileLock(path + "/lock", path);
}

std::string RunFolder::holder(const std::string& path) { return FileLock::holder(path + "/lock"); }

std::string RunFolder::segment_path(const std::string& path, int segment) {
  char name[16];
  std::snprintf(name, sizeof name, "%03d", segment);
  return path + "/segments/" + name;
}

int RunFolder::count_segments(const std::string& path) {
  int next = 0;
  for (const auto& entry : files::entries_of(path + "/segments")) {
    const std::string name = entry.path().filename().string();
    if (name.size() < 10 && std::all_of(name.begin(), name.end(), [](unsigned char c) { return c >= '0' && c <= '9'; }))
      next = std::max(next, std::stoi(name) + 1);
  }
  return next;
}

std::string RunFolder::start_segment() {
  const std::string folder = segment_path(path_, count_segments(path_));
  std::error_code error;
  if (!fs::create_directory(folder, error)) files::throw_system_error(error ? error.value() : EEXIST, "create", folder);
  files::sync_path(path_ + "/segments");
  return folder;
}

void RunFolder::write(const std::string& name, const std::string& text) const {
  files::write_text(path_ + "/" + name, text);
}

}  // namespace switchyard::record
