#include "record/run_folder.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <limits>

#include "base/check.hpp"
#include "base/files.hpp"
#include "base/new_folder.hpp"

namespace switchyard::record {

namespace fs = std::filesystem;

namespace {

/// parent.json alone is what a job was killed over before it had begun: see Trainer.
void require_new(const std::string& path) {
  const std::string first = files::first_entry(path, {"lock", "parent.json"}, {"segments", "checkpoints"});
  check(first != "config.yaml" && first != "segments" && first != "checkpoints", Exit::usage,
        path + " holds a run already (it has " + first +
            "); continue it with switchyard resume, or choose another --run");
  check(first.empty(), Exit::usage, path + " is not empty (it has " + first + "); choose another --run");
}

}  // namespace

RunFolder::RunFolder(const std::string& path, Start start) : path_(path) {
  for (const char* part : {"/segments", "/checkpoints"}) files::require_inside(path, path + part);
  // Before the lock, so that nothing is touched, but for a job at work, of which the lock says more.
  if (start == Start::fresh && holder(path).empty()) require_new(path);
  files::make_folders(path);
  lock_ = FileLock(path + "/lock", path);
  if (start == Start::fresh) require_new(path);
  files::make_folders(path + "/segments");
}

std::string RunFolder::holder(const std::string& path) { return FileLock::holder(path + "/lock"); }

std::string RunFolder::segment_path(const std::string& path, int segment) {
  char name[16];
  std::snprintf(name, sizeof name, "%03d", segment);
  return path + "/segments/" + name;
}

std::vector<int> RunFolder::segments(const std::string& path) {
  std::vector<int> numbers;
  for (const auto& entry : files::entries_of(path + "/segments")) {
    const std::string name = entry.path().filename().string();
    int number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error != std::errc() || end != name.data() + name.size() || number < 0 ||
        segment_path(path, number) != entry.path())
      continue;
    files::require_inside(path, entry.path().string());
    numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::string RunFolder::start_segment() {
  const std::vector<int> numbers = segments(path_);
  check(numbers.empty() || numbers.back() < std::numeric_limits<int>::max(), Exit::usage,
        path_ + "/segments has a folder of the last number that there is; remove it, no run made it");
  const std::string folder = segment_path(path_, numbers.empty() ? 0 : numbers.back() + 1);
  std::error_code error;
  if (!fs::create_directory(folder, error)) files::throw_system_error(error ? error.value() : EEXIST, "create", folder);
  files::sync_path(path_ + "/segments");
  return folder;
}

void RunFolder::write(const std::string& name, const std::string& text) const {
  files::write_text(path_ + "/" + name, text);
}

void RunFolder::remove(const std::string& name) const {
  std::error_code error;
  fs::remove(path_ + "/" + name, error);
  if (error) files::throw_system_error(error.value(), "remove", path_ + "/" + name);
}

}  // namespace switchyard::record
