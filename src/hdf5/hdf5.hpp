// HDF5 with ownership, checked return codes and errors that name the file. Included by .cpp files only.
#pragma once
#include <hdf5.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/checked.hpp"

namespace switchyard::hdf5 {

/// "1.10.8". Prepares the library as every function here does: nothing else may call it before.
std::string library_version();

/// Throws an Error with HDF5's innermost reason: what files::throw_system_error throws where the system refused (a full
/// disk, no permission), else Error{corrupt}. After a full disk no identifier is closed any more, since HDF5 crashes on
/// what it could not write.
[[noreturn]] void fail(const std::string& what);

/// `result` unless it is negative. `what` tells what was tried: "write run.h5:loss".
template <class T>
T check_hdf5(T result, const std::string& what) {
  if (result < 0) fail(what);
  return result;
}

/// An owned HDF5 identifier.
class Id {
 public:
  Id() = default;
  Id(hid_t id, herr_t (*closer)(hid_t)) : id_(id), close_(closer) {}
  Id(Id&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)), close_(other.close_) {}
  Id& operator=(Id&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Id();
  hid_t get() const { return id_; }
  bool valid() const { return id_ >= 0; }
  /// Closes and reports a failure; what a file could not write shows up here.
  void close(const std::string& what);

 private:
  hid_t id_ = H5I_INVALID_HID;
  herr_t (*close_)(hid_t) = nullptr;
};

/// Element types of the files, all little-endian; text16 and text32 are so many bytes of UTF-8, padded with zeros.
enum class Type { i16, i32, i64, u8, f32, f64, text16, text32 };
constexpr bool is_text(Type type) { return type == Type::text16 || type == Type::text32; }
std::size_t size_of(Type type);
const char* name_of(Type type);
/// In the file (little-endian) and in memory.
hid_t file_type(Type type);
hid_t memory_type(Type type);

using Extent = std::vector<hsize_t>;
std::int64_t elements(const Extent& extent);

/// How a dataset is stored: always chunked with Fletcher-32 sums.
struct Storage {
  Extent extent;
  Extent chunk;
  bool growing = false;  ///< the first dimension has no limit
  bool deflate = false;  ///< level 1, bytes shuffled
};

class File {
 public:
  /// A file that loses no flushed chunk however the job ends, and that plain readers since HDF5 1.10 open; no HDF5 file
  /// lock, since the run folder has its own.
  static File create(const std::string& path);
  /// A file that may hold anything: read by another process before (probe). Throws Error{corrupt} where that fails,
  /// Error{usage} for what is no regular file or may not be read.
  static File open(const std::string& path);
  static File open_unprobed(const std::string& path);
  const std::string& path() const { return path_; }
  std::int64_t bytes() const;  ///< on disk
  bool is_open() const { return id_.valid(); }

  Id make_group(const std::string& name);
  Id make_dataset(const std::string& name, Type type, const Storage& storage);
  /// Throws Error{corrupt} where it is, or stands behind, a link to another place or file.
  Id open_dataset(const std::string& name) const;
  bool has(const std::string& name) const;
  /// Names of the datasets below the root, "group/dataset", sorted.
  std::vector<std::string> datasets() const;

  /// Gives the open file another name on the same file system.
  void rename(const std::string& path);
  void flush();
  /// fsync of what has been flushed.
  void sync();
  void close();

  hid_t id() const { return id_.get(); }

 private:
  File(std::string path, Id id) : path_(std::move(path)), id_(std::move(id)) {}
  std::string path_;
  Id id_;
};

/// Attributes of an open object; `where` names it in errors.
void set_attribute(hid_t object, const std::string& name, const std::string& text, const std::string& where);
void set_attribute(hid_t object, const std::string& name, std::int64_t value, const std::string& where);
/// Whole numbers of the type `type`.
void set_attribute(hid_t object, const std::string& name, Type type, const std::vector<std::int64_t>& values,
                   const std::string& where);
bool has_attribute(hid_t object, const std::string& name);
std::string text_attribute(hid_t object, const std::string& name, const std::string& where);
std::int64_t int_attribute(hid_t object, const std::string& name, const std::string& where);

Extent extent_of(const Id& dataset, const std::string& where);
Type type_of(const Id& dataset, const std::string& where);
/// What a dataset claims to be, with at least one dimension, as many of its chunks, and our filters only.
struct Shape {
  Type type;
  Extent extent, chunk;
};
/// Throws Error{corrupt} for any other.
Shape inspect(const Id& dataset, const std::string& where);
Checked bytes_of_row(const Shape& shape);
/// Throws Error{corrupt} where `rows` rows, or one chunk, are more bytes than a file of its size can hold, so that no
/// number in a damaged file allocates memory.
void check_claim(const File& file, const Shape& shape, std::int64_t rows, const std::string& where);
/// Opens a dataset again with room for one of its chunks, where the usual room is smaller.
void keep_a_chunk(const File& file, const std::string& name, const Shape& shape, Id& dataset);

/// Rows [first, first + count) of the first dimension, all of the others. Writing grows a growing dataset first.
void write_rows(const Id& dataset, Type type, hsize_t first, hsize_t count, const void* data, const std::string& where);
void read_rows(const Id& dataset, Type type, hsize_t first, hsize_t count, void* data, const std::string& where);

}  // namespace switchyard::hdf5
