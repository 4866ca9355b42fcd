// Rows of a record file while they wait for their chunk: one growing array a variable.
#pragma once
#include <cstddef>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "record/record_file.hpp"

namespace switchyard::record {

class Columns {
 public:
  template <class T>
  void add(const char* name, T value) {
    add(name, &value, 1);
  }
  template <class T>
  void add(const char* name, const std::vector<T>& values) {
    add(name, values.data(), values.size());
  }
  template <class T>
  void add(const char* name, const T* values, std::size_t n) {
    std::vector<std::byte>& bytes = bytes_[name];
    const std::size_t old = bytes.size();
    bytes.resize(old + n * sizeof(T));
    if (n) std::memcpy(bytes.data() + old, values, n * sizeof(T));
  }
  /// `values`, then zeros up to n.
  template <class T>
  void add_padded(const char* name, std::vector<T> values, std::size_t n) {
    values.resize(n);
    add(name, values);
  }
  std::vector<Column> columns() const {
    std::vector<Column> list;
    for (const auto& [name, bytes] : bytes_) list.push_back({name.c_str(), bytes.data()});
    return list;
  }
  void clear() { bytes_.clear(); }

 private:
  std::map<std::string, std::vector<std::byte>> bytes_;
};

}  // namespace switchyard::record
