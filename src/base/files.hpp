// Files outside HDF5: whole texts, checksums, and what it takes to make them durable. Errors name the file; a full disk
// (or quota, or file size limit) is Error{no_space}.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

namespace switchyard::files {

/// Throws the Error for the operating system's `error` (an errno value) that `action` on `path` met.
[[noreturn]] void throw_system_error(int error, const std::string& action, const std::string& path);
/// Whether an errno value means that nothing more can be written: ENOSPC, EDQUOT, EFBIG.
bool means_no_space(int error);

/// Running SHA-256.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void add(const void* data, std::size_t bytes);
  void add(const std::string& text) { add(text.data(), text.size()); }
  /// 64 hexadecimal digits; once.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_of_text(const std::string& text);
/// Reads the whole file; throws Error{corrupt} where it cannot be read.
std::string sha256_of_file(const std::string& path);
/// Throws Error{corrupt} where it cannot be read.
std::string read_text(const std::string& path);
/// Writes aside, fsyncs and renames: readers see the old text or the new one.
void write_text(const std::string& path, const std::string& text);
/// fsync of a file or folder. File systems that cannot sync folders are tolerated.
void sync_path(const std::string& path);
/// fsync of the folder that `path` stands in, so that its name outlives the machine.
void sync_folder_of(const std::string& path);
/// Throws Error{usage} where something stands at `path`; a path that cannot be looked at is left to who writes there.
void refuse_standing(const std::string& path);
/// A folder that is filled beside its name, as NAME.tmp: it takes the name when it is whole, and goes with what is in
/// it where that fails.
class NewFolder {
 public:
  /// Throws what throw_system_error throws; an older NAME.tmp is removed.
  explicit NewFolder(const std::string& name);
  NewFolder(const NewFolder&) = delete;
  ~NewFolder();
  const std::string& aside() const { return aside_; }
  void finish();

 private:
  std::string name_, aside_;
};
/// Moves `from` to `to` and fsyncs the folder above; a folder that stands at `to` is exchanged and removed.
void replace_folder(const std::string& from, const std::string& to);

}  // namespace switchyard::files
