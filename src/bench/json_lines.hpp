// The file that a measurement appends its results to, one JSON line each.
#pragma once
#include <cerrno>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/check.hpp"
#include "base/files.hpp"
#include "record/provenance.hpp"

namespace switchyard::bench {

/// "2026-01-31T12:00:00Z".
inline std::string date_now() {
  const std::time_t now = std::time(nullptr);
  char text[32] = {};
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  return text;
}

/// On one rank; nothing where no file is named.
class JsonLines {
 public:
  /// Before the measurement, which would be lost. Throws Error{usage} where the file cannot be written.
  void open(const std::string& path) {
    if (path.empty()) return;
    path_ = path;
    file_.open(path, std::ios::app);
    check(file_.good(), Exit::usage, path + ": cannot be written; give --json another file");
  }
  /// With the program's commit and the date.
  void add(nlohmann::ordered_json result) {
    if (path_.empty()) return;
    result["commit"] = record::program_commit(), result["date"] = date_now();
    file_ << result.dump() << '\n' << std::flush;
    if (!file_) files::throw_system_error(errno, "write the result to", path_);
  }

 private:
  std::string path_;
  std::ofstream file_;
};

}  // namespace switchyard::bench
