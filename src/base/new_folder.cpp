#include "base/new_folder.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "base/check.hpp"
#include "base/files.hpp"

namespace switchyard::files {
namespace {

/// Whether aside_name() can have given this name to what becomes `name`.
bool is_aside_name(const std::string& entry, const std::string& name) {
  const std::string head = std::string(".").append(name).append("."), tail = ".tmp";
  return entry.size() == head.size() + 16 + tail.size() && entry.starts_with(head) && entry.ends_with(tail) &&
         entry.find_first_not_of("0123456789abcdef", head.size()) == head.size() + 16;
}

/// Throws Error{usage} where something stands at `path`; a path that cannot be looked at is left to who writes there.
void refuse_standing(const std::string& path) {
  std::error_code unreachable;
  check(!std::filesystem::exists(std::filesystem::symlink_status(path, unreachable)), Exit::usage,
        path + " exists already; remove it or choose another folder");
}

}  // namespace

std::string first_entry(const std::string& folder, const std::vector<std::string>& ours,
                        const std::vector<std::string>& parts) {
  std::string first;
  for (const auto& entry : entries_of(folder)) {
    const std::string name = entry.path().filename().string();
    std::error_code unreachable;
    const auto kind = entry.symlink_status(unreachable).type();
    const bool part = kind == std::filesystem::file_type::directory && std::ranges::find(parts, name) != parts.end() &&
                      std::filesystem::is_empty(entry.path(), unreachable);
    const bool known =
        part || (kind == std::filesystem::file_type::regular && std::ranges::find(ours, name) != ours.end());
    if (!known && !name.starts_with('.') && (first.empty() || name < first)) first = name;
  }
  return first;
}

NewFolder::NewFolder(const std::string& name) : name_(name) {
  while (name_.size() > 1 && name_.back() == '/') name_.pop_back();
  refuse_standing(name_);
  const std::filesystem::path whole(name_), above = whole.parent_path();
  check(is_plain_name(whole.filename().string()), Exit::usage, "'" + name + "' names no new folder; choose a name");
  try {
    make_above(above.string());
    lock_ =
        FileLock::passing((above / std::string(".").append(whole.filename().string()).append(".lock")).string(), name_);
    refuse_standing(name_);
    remove_left(above.string(), whole.filename().string());
    const std::string aside = aside_name(name_);
    if (::mkdir(aside.c_str(), 0777) != 0) throw_system_error(errno, "make the folder", aside);
    aside_ = aside;
  } catch (const Error&) {
    remove_made();
    throw;
  }
}

void NewFolder::remove_left(const std::string& above, const std::string& name) const {
  if (!lock_.warning().empty()) return;  // another job may be making it after all
  std::error_code ignored;               // what may not be listed is left
  std::vector<std::filesystem::path> left;
  std::filesystem::directory_iterator entry(above.empty() ? "." : above, ignored);
  for (; !ignored && entry != std::filesystem::directory_iterator(); entry.increment(ignored))
    if (is_aside_name(entry->path().filename().string(), name)) left.push_back(entry->path());
  for (const auto& path : left)
    if (std::filesystem::symlink_status(path, ignored).type() == std::filesystem::file_type::directory)
      std::filesystem::remove_all(path, ignored);
}

NewFolder::~NewFolder() {
  std::error_code ignored;
  if (aside_.empty()) return;
  std::filesystem::remove_all(aside_, ignored);
  remove_made();
}

void NewFolder::make_above(const std::string& folder) {
  std::vector<std::string> missing;
  std::error_code error;
  for (std::filesystem::path p = folder; !p.empty() && !std::filesystem::exists(p, error); p = p.parent_path())
    missing.push_back(p.string());
  for (; !missing.empty(); missing.pop_back()) {
    if (::mkdir(missing.back().c_str(), 0777) == 0)
      made_.push_back(missing.back());
    else if (errno != EEXIST)
      throw_system_error(errno, "make the folder", missing.back());
  }
}

void NewFolder::remove_made() {
  lock_ = FileLock();
  for (; !made_.empty() && ::rmdir(made_.back().c_str()) == 0; made_.pop_back()) continue;
}

void NewFolder::finish() {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(aside_))
    if (!entry.is_symlink()) sync_path(entry.path().string());
  sync_path(aside_);
  if (::renameat2(AT_FDCWD, aside_.c_str(), AT_FDCWD, name_.c_str(), RENAME_NOREPLACE) != 0) {
    if (errno != EINVAL && errno != ENOSYS) throw_system_error(errno, "rename to", name_);
    refuse_standing(name_);  // a file system without RENAME_NOREPLACE: the lock keeps others of this program away
    if (std::rename(aside_.c_str(), name_.c_str()) != 0) throw_system_error(errno, "rename to", name_);
  }
  aside_.clear();
  sync_folder_of(name_);
  for (const std::string& folder : made_) sync_folder_of(folder);
}

}  // namespace switchyard::files
