// One HDF5 file made from the schema's table: fixed variables written once, growing ones appended in whole chunks.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "record/schema.hpp"

namespace switchyard::record {

/// A variable and the values to write, row-major.
struct Column {
  const char* name;
  const void* data;
};

class RecordFile {
 public:
  /// Lengths of the fixed dimensions, and rows of one chunk of each growing one.
  using Sizes = std::map<std::string, std::int64_t>;

  /// Makes the file under another name, so that a killed job leaves no file without its fixed parts.
  RecordFile(FileKind kind, const std::string& path, const Sizes& sizes);
  /// Gives the file its name, for good: after the attributes and fixed variables, before the first append.
  void publish();

  void attribute(const std::string& name, const std::string& text);
  void attribute(const std::string& name, std::int64_t value);
  /// A variable whose dimensions are all fixed, whole. Left out, with its data, where one of them has length 0.
  void write(const std::string& name, const void* data);
  /// One chunk of every variable of a growing dimension; fewer rows than a chunk are allowed once, as the last ones.
  /// Data are flushed first, then the dimension is lengthened and flushed: only rows within it count.
  void append(const std::string& dimension, std::int64_t rows, const std::vector<Column>& columns);
  /// fsync of what has been appended, so that it outlives the machine and not only the process.
  void sync();
  /// Closes, after which the file outlives the machine.
  void close();
  bool has(const std::string& variable) const { return datasets_.count(variable) > 0; }
  const std::string& path() const { return file_.path(); }

 private:
  void make_dimension(const Dimension& dimension);
  void make_variable(const Variable& variable);
  std::string where(const std::string& name) const { return file_.path() + ":" + name; }

  FileKind kind_;
  Sizes sizes_;
  hdf5::File file_;
  std::map<std::string, hdf5::Id> scales_, datasets_;
  std::map<std::string, std::int64_t> rows_;  ///< of each growing dimension
};

}  // namespace switchyard::record
