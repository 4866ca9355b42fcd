// A record file opened for reading, checked to be of a schema that this program knows.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "record/structure.hpp"

namespace switchyard::record {

/// A dataset that stays open, with its last chunk: rows can be read one after another, each chunk decoded once.
class OpenDataset {
 public:
  /// Throws Error{corrupt} where it is missing, a link, or its storage is not ours.
  OpenDataset(const hdf5::File& file, const std::string& name);
  std::int64_t rows() const { return static_cast<std::int64_t>(shape_.extent[0]); }
  std::int64_t chunk_rows() const { return static_cast<std::int64_t>(shape_.chunk[0]); }
  std::int64_t row_bytes() const { return hdf5::bytes_of_row(shape_).value(); }
  hdf5::Type type() const { return shape_.type; }
  /// Rows [first, first + count) into `data`.
  void read(std::int64_t first, std::int64_t count, void* data) const;

 private:
  std::string where_;
  hdf5::Id dataset_;
  hdf5::Shape shape_;
};

class RecordReader {
 public:
  /// Throws Error{corrupt} where it cannot be opened or its structure is not the schema's, Error{usage} where its
  /// schema is not known.
  explicit RecordReader(const std::string& path);
  /// Of an open file; beyond the limits nothing counts, and nothing is read.
  RecordReader(hdf5::File file, const Limits& limits);
  FileKind kind() const { return kind_; }
  const std::string& path() const { return file_.path(); }
  const hdf5::File& file() const { return file_; }
  /// Length of a dimension when the file was opened; for a growing one the rows that count. 0 where the file leaves it
  /// out.
  std::int64_t length(const std::string& dimension) const;
  bool has(const std::string& variable) const { return file_.has(variable); }
  std::int64_t attribute(const std::string& name) const { return hdf5::int_attribute(file_.id(), name, path()); }
  OpenDataset open(const std::string& variable) const { return {file_, variable}; }

  /// Rows [first, first + count) of a variable, T its type in memory.
  template <class T>
  std::vector<T> read(const std::string& variable, std::int64_t first, std::int64_t count) const {
    const OpenDataset dataset = open(variable);
    std::vector<T> values(static_cast<std::size_t>(dataset.row_bytes() * std::min(count, dataset.rows())) / sizeof(T));
    dataset.read(first, count, values.data());
    return values;
  }
  /// The whole of a variable, as far as it counts.
  template <class T>
  std::vector<T> read(const Variable& variable) const {
    return read<T>(variable.name, 0, length(variable.dims.front()));
  }

 private:
  hdf5::File file_;
  FileKind kind_;
  std::map<std::string, std::int64_t> lengths_;
};

/// Rows that are read at once, where they are `bytes` bytes each: whole chunks of moderate size, parts of larger ones.
inline std::int64_t rows_of_piece(std::int64_t chunk, std::int64_t bytes) {
  constexpr std::int64_t usual = 16 << 20, max = 256 << 20;
  const std::int64_t row = std::max<std::int64_t>(bytes, 1);
  return std::clamp<std::int64_t>(usual / row / chunk * chunk, std::max<std::int64_t>(1, std::min(chunk, max / row)),
                                  std::max<std::int64_t>(1, max / row));
}

/// Hands rows [first, first + count) of a dataset to visit(bytes, size) in pieces of moderate size.
template <class Visit>
void for_each_piece(const hdf5::File& file, const std::string& name, std::int64_t first, std::int64_t count,
                    Visit visit) {
  const OpenDataset dataset(file, name);
  const std::int64_t bytes = dataset.row_bytes(), rows = rows_of_piece(dataset.chunk_rows(), bytes);
  std::vector<char> buffer(static_cast<std::size_t>(std::min({rows, count, dataset.rows()}) * bytes));
  for (std::int64_t done = 0; done < count; done += rows) {
    const std::int64_t n = std::min(rows, count - done);
    dataset.read(first + done, n, buffer.data());
    visit(buffer.data(), static_cast<std::size_t>(n * bytes));
  }
}

}  // namespace switchyard::record
