// The folder of a run: one job at a time, one segment a start. Used by rank 0 only.
#pragma once
#include <string>
#include <vector>

#include "base/lock.hpp"

namespace switchyard::record {

class RunFolder {
 public:
  enum class Start { fresh, resumed };
  /// Creates the folder where it is missing and takes its lock, held until destruction or the end of the process.
  /// Throws Error{busy} naming host and process of a job that holds it, Error{usage} for a fresh run in a folder
  /// where something is in the way (files::first_entry): a resume would take what lies there for the run's own.
  explicit RunFolder(const std::string& path, Start start = Start::resumed);
  RunFolder(const RunFolder&) = delete;

  const std::string& path() const { return path_; }
  /// Not empty where the file system cannot lock: two jobs would not notice each other.
  const std::string& warning() const { return lock_.warning(); }
  /// Creates segments/NNN, the first free number, and returns its path.
  std::string start_segment();
  /// Writes a file of the folder ("config.yaml") whole or not at all.
  void write(const std::string& name, const std::string& text) const;
  /// Removes such a file, where it stands.
  void remove(const std::string& name) const;

  /// "HOST PROCESS" of the job that works on the folder now; empty where none does.
  static std::string holder(const std::string& path);
  /// Numbers of the segments so far, ascending. Folders with other names than start_segment gives are none.
  static std::vector<int> segments(const std::string& path);
  /// "RUN/segments/003"
  static std::string segment_path(const std::string& path, int segment);

 private:
  std::string path_;
  FileLock lock_;
};

}  // namespace switchyard::record
