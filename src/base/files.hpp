// Files outside HDF5: whole texts, checksums, and what it takes to make them durable. Errors name the file; a full disk
// (or quota, or file size limit) and a disk that fails are Error{storage}. Everything is made under a name that nobody
// else has, never through a link.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace switchyard::files {

/// Throws the Error for the operating system's `error` (an errno value) that `action` on `path` met.
[[noreturn]] void throw_system_error(int error, const std::string& action, const std::string& path);
/// Whether an errno value means that there is no more room: ENOSPC, EDQUOT, EFBIG.
bool means_full(int error);
/// Whether it means Exit::storage: no more room, a disk that fails, a closed pipe.
bool means_lost_storage(int error);
/// Opens a file for reading; Error{corrupt} for what is no regular file (a FIFO or device would block or never end),
/// else throws as read_text does. The caller closes.
int open_regular(const std::string& path);
/// What stands at `path`, a link being a link; not_found where nothing does. Throws what throw_system_error throws
/// where it cannot be looked at: that is not the same as missing.
std::filesystem::file_type kind_at(const std::string& path);
/// The same of where a link leads to.
std::filesystem::file_type kind_behind(const std::string& path);
/// ".NAME.3f9c02d1a87be645.tmp" in the folder of `path`: a name to make something under before it takes its own.
std::string aside_name(const std::string& path);
/// Whether `name`, read from a file, can only mean something directly inside a folder: no '/', not "." or "..".
bool is_plain_name(const std::string& name);

/// Throws Error{usage} where `path`, a folder that belongs inside `owner`, is a link, since what goes there would land
/// elsewhere, or no folder; not where nothing stands there.
void require_inside(const std::string& owner, const std::string& path);
/// Makes a folder and those above it that are missing, each with its name fsynced; not where it stands.
void make_folders(const std::string& path);

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
/// Of the whole file; throws what read_text throws.
std::string sha256_of_file(const std::string& path);
/// The whole file. Throws Error{corrupt} where it is missing or no regular file, Error{storage} where the disk fails,
/// Error{usage} where it may not be read.
std::string read_text(const std::string& path);
/// What comes from a file, pipe or device until it ends or more than `max_bytes` bytes have come, of which one is kept
/// to tell. A FIFO that nobody writes to is empty. Throws std::filesystem::filesystem_error.
std::string read_once(const std::string& path, std::size_t max_bytes);
/// Writes aside, fsyncs and renames: readers see the old text or the new one.
void write_text(const std::string& path, const std::string& text);
/// The entries of a folder; none where it is missing. Throws what throw_system_error throws where it cannot be read.
std::filesystem::directory_iterator entries_of(const std::string& folder);
/// fsync of a file or folder. File systems that cannot sync folders are tolerated.
void sync_path(const std::string& path);
/// fsync of the folder that `path` stands in, so that its name outlives the machine.
void sync_folder_of(const std::string& path);
/// Moves `from` to `to` and fsyncs the folder above; a folder that stands at `to` is exchanged and removed.
void replace_folder(const std::string& from, const std::string& to);

}  // namespace switchyard::files
