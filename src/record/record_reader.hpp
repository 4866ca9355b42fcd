// A record file opened for reading, checked to be of a schema that this program knows.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "record/schema.hpp"

namespace switchyard::record {

class RecordReader {
 public:
  /// Throws Error{corrupt} where it cannot be opened, Error{usage} where its schema is not known.
  explicit RecordReader(const std::string& path);
  FileKind kind() const { return kind_; }
  const std::string& path() const { return file_.path(); }
  const h5::File& file() const { return file_; }
  /// Length of a dimension; for a growing one the rows that count. 0 where the file leaves it out.
  std::int64_t length(const std::string& dimension) const;
  bool has(const std::string& variable) const { return file_.has(variable); }
  std::int64_t attribute(const std::string& name) const { return h5::int_attribute(file_.id(), name, path()); }

  /// Rows [first, first + count) of a variable, T its type in memory.
  template <class T>
  std::vector<T> read(const std::string& variable, std::int64_t first, std::int64_t count) const {
    std::vector<T> values(static_cast<std::size_t>(row_bytes(variable) * count) / sizeof(T));
    read_bytes(variable, first, count, values.data());
    return values;
  }
  /// The whole of a variable, as far as it counts.
  template <class T>
  std::vector<T> read(const Variable& variable) const {
    return read<T>(variable.name, 0, length(variable.dims.front()));
  }
  std::int64_t row_bytes(const std::string& variable) const;
  void read_bytes(const std::string& variable, std::int64_t first, std::int64_t count, void* data) const;

 private:
  h5::File file_;
  FileKind kind_;
};

/// Hands rows [first, first + count) of a dataset to visit(bytes, size) in pieces of moderate size.
template <class Visit>
void for_each_piece(const h5::File& file, const std::string& name, std::int64_t first, std::int64_t count,
                    Visit visit) {
  constexpr std::int64_t piece_bytes = 16 << 20;
  const std::string where = file.path() + ":" + name;
  const h5::Id dataset = file.open_dataset(name);
  const h5::Type type = h5::type_of(dataset, where);
  h5::Extent row = h5::extent_of(dataset, where);
  const auto chunk = static_cast<std::int64_t>(h5::chunk_of(dataset, where)[0]);
  row[0] = 1;
  const std::int64_t bytes = h5::elements(row) * static_cast<std::int64_t>(h5::size_of(type));
  const std::int64_t rows = std::max(chunk, piece_bytes / std::max<std::int64_t>(bytes, 1) / chunk * chunk);
  std::vector<char> buffer(static_cast<std::size_t>(std::min(rows, count) * bytes));
  for (std::int64_t done = 0; done < count; done += rows) {
    const std::int64_t n = std::min(rows, count - done);
    h5::read_rows(dataset, type, static_cast<hsize_t>(first + done), static_cast<hsize_t>(n), buffer.data(), where);
    visit(buffer.data(), static_cast<std::size_t>(n * bytes));
  }
}

}  // namespace switchyard::record
