#include "data/inputs.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "base/check.hpp"
#include "base/files.hpp"
#include "base/utf8.hpp"

namespace switchyard::data {
namespace {

namespace fs = std::filesystem;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool is_hidden(const fs::path& path) { return path.filename().string().rfind('.', 0) == 0; }

/// How the file is called in the note: by its ending.
std::string kind_of(const fs::path& path) {
  const std::string ending = lower(path.extension().string());
  return ending.empty() ? "without ending" : ending;
}

std::string list(const std::map<std::string, int>& counts) {
  constexpr std::size_t max_kinds = 20;
  std::string text;
  std::size_t shown = 0;
  for (const auto& [what, count] : counts)
    if (++shown <= max_kinds) text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + what;
  return text + (shown > max_kinds ? " and " + std::to_string(shown - max_kinds) + " other endings" : "");
}

class Finder {
 public:
  Finder(const InputOptions& options, Complaints& complaints) : all_(options.all), complaints_(complaints) {
    for (const std::string& ending : options.endings) {
      const std::string name = lower(ending.rfind('.', 0) == 0 ? ending : "." + ending);
      check(name.size() > 1 && name.find_first_of("./", 1) == std::string::npos, Exit::usage,
            "--ending '" + ending + "' is no ending of a file name; give one such as .csv");
      endings_.insert(name);
    }
  }

  void add(const std::string& input) {
    std::error_code error;
    const fs::path path(input);
    const fs::file_status status = fs::status(path, error);
    if (!fs::exists(status))
      complaints_.add(input, 0, error && error.value() != ENOENT ? error.message() : "no such file or folder");
    else if (fs::is_directory(status))
      add_folder(path);
    else if (fs::is_regular_file(status))
      take(path, path.stem().string());
    else
      complaints_.add(input, 0,
                      "can be read only once (it is a pipe or a device, and the inputs are read several times); write "
                      "its text to a file first");
  }

  Inputs finish() {
    found_.note = "took " + list(taken_) + lines_note();
    if (twice_ > 0) found_.note += "; " + std::to_string(twice_) + " given again, taken once";
    if (!left_.empty()) found_.note += "; left " + list(left_) + " (--ending takes an ending, --all everything)";
    return std::move(found_);
  }

 private:
  std::string lines_note() const {
    const bool lines =
        std::any_of(found_.sources.begin(), found_.sources.end(), [](const Source& s) { return s.lines; });
    const bool whole =
        std::any_of(found_.sources.begin(), found_.sources.end(), [](const Source& s) { return !s.lines; });
    return std::string(lines ? " (.jsonl and .ndjson: a document a line" : " (") + (lines && whole ? "; " : "") +
           (whole ? "each other file a document)" : ")");
  }

  void add_folder(const fs::path& folder) {
    const fs::path whole = fs::absolute(folder).lexically_normal();
    const std::string name = (whole.has_filename() ? whole : whole.parent_path()).filename().string();
    const std::map<std::string, int> left = left_;
    std::vector<fs::path> files = files_below(folder);
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
      const fs::path below = file.lexically_relative(folder);
      take(file, std::distance(below.begin(), below.end()) > 1 ? below.begin()->string() : name);
    }
    if (files.empty())
      complaints_.add(folder.string(), 0,
                      left == left_ ? "an empty folder"
                                    : "a folder without .txt, .jsonl or .ndjson files; it has " + list(left_) +
                                          ": take an ending with --ending, or everything with --all");
  }

  /// Those of a folder that are wanted; counts the others.
  std::vector<fs::path> files_below(const fs::path& folder) {
    std::vector<fs::path> files;
    std::error_code error;
    fs::recursive_directory_iterator entry(folder, error);
    for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
      std::error_code unknown;
      const bool is_folder = entry->is_directory(unknown), hidden = is_hidden(entry->path()) && !all_;
      if (is_folder) {
        const bool link = entry->is_symlink(unknown);
        if (hidden) entry.disable_recursion_pending();
        if (hidden || link) ++left_[hidden ? "hidden folder(s)" : "link(s) to folders"];
      } else if (!entry->is_regular_file(unknown)) {
        ++left_["not regular file(s)"];
      } else if (hidden) {
        ++left_["hidden file(s)"];
      } else if (wanted(kind_of(entry->path()))) {
        files.push_back(entry->path());
      } else {
        ++left_[kind_of(entry->path())];
      }
    }
    if (error) files::throw_system_error(error.value(), "list", folder.string());
    return files;
  }

  bool wanted(const std::string& ending) const {
    return all_ || ending == ".txt" || ending == ".jsonl" || ending == ".ndjson" || endings_.count(ending) > 0;
  }

  void take(const fs::path& path, const std::string& domain) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) files::throw_system_error(errno, "read", path.string());
    if (!known_.emplace(status.st_dev, status.st_ino).second) {
      ++twice_;
      return;
    }
    if (first_bad_utf8(domain) >= 0)
      return complaints_.add(path.string(), 0,
                             "its domain would be a name that is not UTF-8; rename the file or folder");
    const std::string kind = kind_of(path);
    ++taken_[kind];
    found_.sources.push_back({path.string(), domain, kind == ".jsonl" || kind == ".ndjson"});
  }

  bool all_;
  std::set<std::string> endings_;
  Complaints& complaints_;
  Inputs found_;
  std::set<std::pair<dev_t, ino_t>> known_;
  std::map<std::string, int> taken_, left_;
  int twice_ = 0;
};

}  // namespace

Inputs find_inputs(const InputOptions& options, Complaints& complaints) {
  Finder finder(options, complaints);
  for (const std::string& path : options.paths) finder.add(path);
  return finder.finish();
}

}  // namespace switchyard::data
