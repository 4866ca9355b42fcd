// What the tests of HDF5 share.
#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/check.hpp"
#include "hdf5/hdf5.hpp"
#include "support/folder.hpp"

namespace switchyard::hdf5 {

using test::Folder;
using Bytes = std::vector<unsigned char>;

/// The message of the Error{code} that `work` throws; "" where none is thrown.
template <class Work>
std::string message_of(Exit code, const Work& work) try {
  work();
  return "";
} catch (const Error& error) {
  EXPECT_EQ(error.code(), code) << error.what();
  return error.what();
}

inline Bytes read_all(const Id& dataset, const std::string& where) {
  const Shape shape = inspect(dataset, where);
  Bytes bytes(static_cast<std::size_t>(elements(shape.extent)) * size_of(shape.type));
  read_rows(dataset, shape.type, 0, shape.extent[0], bytes.data(), where);
  return bytes;
}

}  // namespace switchyard::hdf5
