#include "record/in_use.hpp"

#include <chrono>
#include <filesystem>
#include <thread>

#include "base/check.hpp"
#include "base/files.hpp"
#include "base/lock.hpp"
#include "record/run_folder.hpp"

namespace switchyard::record {
namespace {

namespace fs = std::filesystem;

/// The run folder that a segment, checkpoint or file of one is in; "" where that is none.
std::string run_of(const std::string& path) {
  constexpr int levels = 3;  // RUN/segments/003/run.h5
  std::error_code unreachable;
  fs::path folder = fs::absolute(path, unreachable).lexically_normal();
  for (int i = 0; i <= levels; ++i, folder = folder.parent_path())
    if (fs::is_directory(folder / "segments", unreachable)) return folder.string();
  return "";
}

}  // namespace

Recorded what_is(const std::string& path) {
  using enum fs::file_type;
  if (files::kind_behind(path + "/segments") == directory) return Recorded::run;
  if (files::kind_at(path + "/manifest.json") != not_found) return Recorded::checkpoint;
  check(files::kind_behind(path) == regular, Exit::usage,
        path + " is neither a run folder, nor a checkpoint, nor a file");
  return Recorded::file;
}

std::string in_use(const std::string& path) {
  const std::string run = run_of(path), holder = run.empty() ? "" : RunFolder::holder(run);
  return holder.empty() ? "" : path + " is in use by " + FileLock::who(holder) + ": what is complete is read";
}

int read_again(const std::string& path, const std::function<bool()>& read) {
  const int tries = in_use(path).empty() ? 1 : 8;
  for (int i = 1;; ++i) {
    try {
      if (read() || i == tries) return i;
    } catch (const Error& error) {
      if (i == tries || error.code() == Exit::memory) throw;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100 * i));
  }
}

}  // namespace switchyard::record
