// Changes of a record file through HDF5 itself, so that the sums of its chunks and of its structure stay right: what is
// then wrong with it only a law can find.
#pragma once
#include <gtest/gtest.h>
#include <hdf5.h>

#include <string>
#include <type_traits>
#include <vector>

#include "base/files.hpp"
#include "hdf5/hdf5.hpp"

namespace fixtures {

using namespace switchyard;

/// A record file open for changes.
class Editor {
 public:
  explicit Editor(const std::string& path) : file_(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT)) {
    EXPECT_GE(file_, 0) << path;
  }
  Editor(const Editor&) = delete;
  ~Editor() { H5Fclose(file_); }
  hid_t id() const { return file_; }

  /// Element `index`, counted row by row, which HDF5 converts to the type of the dataset.
  template <class T>
  void set(const char* name, hsize_t index, T value) const {
    const hid_t type = std::is_floating_point_v<T> ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT64;
    static_assert(sizeof(T) == 8);
    const hid_t set = H5Dopen2(file_, name, H5P_DEFAULT), space = H5Dget_space(set), one = H5Screate(H5S_SCALAR);
    std::vector<hsize_t> at(static_cast<std::size_t>(H5Sget_simple_extent_ndims(space)));
    H5Sget_simple_extent_dims(space, at.data(), nullptr);
    for (std::size_t d = at.size(); d-- > 0;) {
      const hsize_t length = at[d];
      at[d] = index % length, index /= length;
    }
    EXPECT_EQ(index, 0u) << name << " has no such element";
    H5Sselect_elements(space, H5S_SELECT_SET, 1, at.data());
    EXPECT_GE(H5Dwrite(set, type, one, space, H5P_DEFAULT, &value), 0) << name;
    H5Sclose(one), H5Sclose(space), H5Dclose(set);
  }

  /// Element `index` of a list of texts of fixed length.
  void set_text(const char* name, hsize_t index, const std::string& value) const {
    const hid_t set = H5Dopen2(file_, name, H5P_DEFAULT), type = H5Dget_type(set), space = H5Dget_space(set),
                one = H5Screate(H5S_SCALAR);
    std::string text = value;
    text.resize(H5Tget_size(type), '\0');
    H5Sselect_elements(space, H5S_SELECT_SET, 1, &index);
    EXPECT_GE(H5Dwrite(set, type, one, space, H5P_DEFAULT, text.data()), 0) << name;
    H5Sclose(one), H5Sclose(space), H5Tclose(type), H5Dclose(set);
  }

  /// An integer of the root; its type stays.
  void set_attribute(const char* name, std::int64_t value) const {
    const hid_t attribute = H5Aopen(file_, name, H5P_DEFAULT);
    EXPECT_GE(H5Awrite(attribute, H5T_NATIVE_INT64, &value), 0) << name;
    H5Aclose(attribute);
  }

 private:
  hid_t file_;
};

/// How a dataset is made anew, by hand.
struct Made {
  hid_t type = H5T_STD_I64LE;
  std::vector<hsize_t> extent{6}, chunk{3};  ///< no chunks where empty
  bool sums = true;
};

/// Puts another dataset in the place of `name`, with its attribute scope.
inline void replace(hid_t file, const char* name, const Made& made) {
  const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
  if (!made.chunk.empty()) H5Pset_chunk(list, static_cast<int>(made.chunk.size()), made.chunk.data());
  if (made.sums && !made.chunk.empty()) H5Pset_fletcher32(list);
  std::vector<hsize_t> most = made.extent;
  if (!made.chunk.empty() && !most.empty()) most[0] = H5S_UNLIMITED;
  const hid_t space = H5Screate_simple(static_cast<int>(made.extent.size()), made.extent.data(), most.data());
  ASSERT_GE(H5Ldelete(file, name, H5P_DEFAULT), 0);
  const hid_t set = H5Dcreate2(file, name, made.type, space, H5P_DEFAULT, list, H5P_DEFAULT);
  ASSERT_GE(set, 0);
  hdf5::set_attribute(set, "scope", "invariant", name);
  H5Dclose(set), H5Sclose(space), H5Pclose(list);
}

/// Puts another attribute of the root in the place of `name`.
inline void replace_attribute(hid_t file, const char* name, hid_t type, const std::vector<hsize_t>& extent) {
  H5Adelete(file, name);
  const hid_t space = H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr);
  const hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  ASSERT_GE(attribute, 0);
  H5Aclose(attribute), H5Sclose(space);
}

/// Another configuration, with its sum.
inline void replace_config(hid_t file, const std::string& text) {
  for (const char* name : {"config", "config_sha256"}) H5Adelete(file, name);
  hdf5::set_attribute(file, "config", text, "");
  hdf5::set_attribute(file, "config_sha256", files::sha256_of_text(text), "");
}

}  // namespace fixtures
