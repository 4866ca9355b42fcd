// All variables along one growing dimension, block of rows after block, each chunk read once.
#pragma once
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "record/record_reader.hpp"

namespace switchyard::record {

class RowBlocks {
 public:
  /// Opens every variable of the dimension that the file has.
  RowBlocks(const RecordReader& file, const std::string& dimension);
  /// Reads the next rows that count; false where there are none left. Throws what HDF5 finds damaged.
  bool next();
  std::int64_t first() const { return first_; }  ///< number of the block's first row
  std::int64_t rows() const { return rows_; }
  bool has(const char* variable) const { return parts_.contains(variable); }  ///< older versions lack some
  /// Row `row` of the block. Throws Error{corrupt} where the file lacks the variable.
  template <class T>
  std::span<const T> row(const char* variable, std::int64_t row) const {
    const Part& part = part_of(variable);
    return {reinterpret_cast<const T*>(part.bytes.data() + row * part.dataset.row_bytes()),
            static_cast<std::size_t>(part.dataset.row_bytes()) / sizeof(T)};
  }
  template <class T>
  T value(const char* variable, std::int64_t row) const {
    return this->row<T>(variable, row)[0];
  }

 private:
  struct Part {
    OpenDataset dataset;
    std::vector<char> bytes;
  };
  const Part& part_of(const char* variable) const;

  std::string path_;
  std::map<std::string, Part, std::less<>> parts_;
  std::int64_t length_, piece_, first_ = 0, rows_ = 0;
};

}  // namespace switchyard::record
