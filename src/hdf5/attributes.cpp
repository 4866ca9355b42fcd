#include <algorithm>

#include "base/check.hpp"
#include "hdf5/hdf5.hpp"

namespace switchyard::hdf5 {
namespace {

constexpr std::size_t max_text = std::size_t{64} << 20;  // bytes; a table of all tasks of a sweep has some MB

/// Text of `bytes` bytes, UTF-8, padded with zeros: nothing of it stands outside the attribute.
Id text_type(std::size_t bytes) {
  Id type{check_hdf5(H5Tcopy(H5T_C_S1), "make a text type"), H5Tclose};
  check_hdf5(H5Tset_size(type.get(), bytes), "size a text type");
  check_hdf5(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "pad a text type");
  check_hdf5(H5Tset_cset(type.get(), H5T_CSET_UTF8), "encode a text type");
  return type;
}

/// One value, or a list of `length`.
void write_attribute(hid_t object, const std::string& name, hid_t type, hid_t memory, const void* value,
                     const std::string& where, hsize_t length = 0) {
  const std::string what = "write attribute " + name + " of " + where;
  const Id space{check_hdf5(length ? H5Screate_simple(1, &length, nullptr) : H5Screate(H5S_SCALAR), what), H5Sclose};
  const Id attribute{check_hdf5(H5Acreate2(object, name.c_str(), type, space.get(), H5P_DEFAULT, H5P_DEFAULT), what),
                     H5Aclose};
  check_hdf5(H5Awrite(attribute.get(), memory, value), what);
}

/// An attribute of one value of `kind`, and its type in the file.
std::pair<Id, Id> open_attribute(hid_t object, const std::string& name, H5T_class_t kind, const std::string& where) {
  const std::string what = "read attribute " + name + " of " + where;
  Id attribute{check_hdf5(H5Aopen(object, name.c_str(), H5P_DEFAULT), what), H5Aclose};
  Id type{check_hdf5(H5Aget_type(attribute.get()), what), H5Tclose};
  const Id space{check_hdf5(H5Aget_space(attribute.get()), what), H5Sclose};
  check(
      H5Tget_class(type.get()) == kind && H5Sget_simple_extent_npoints(space.get()) == 1, Exit::corrupt,
      where + " is damaged (its attribute " + name + " is not one " + (kind == H5T_STRING ? "text" : "integer") + ")");
  return {std::move(attribute), std::move(type)};
}

/// Text of schema versions 1 and 2, which stands in a heap of the file; File::open has had it read elsewhere before.
std::string variable_text(const Id& attribute, const Id& type, const std::string& what) {
  char* value = nullptr;
  check_hdf5(H5Aread(attribute.get(), type.get(), &value), what);
  const std::string text = value ? value : "";
  H5free_memory(value);
  return text;
}

}  // namespace

void set_attribute(hid_t object, const std::string& name, const std::string& text, const std::string& where) {
  expect(text.size() <= max_text, "a text that can be read again");
  const Id type = text_type(std::max<std::size_t>(text.size(), 1));
  write_attribute(object, name, type.get(), type.get(), text.c_str(), where);
}

void set_attribute(hid_t object, const std::string& name, std::int64_t value, const std::string& where) {
  write_attribute(object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value, where);
}

void set_attribute(hid_t object, const std::string& name, Type type, const std::vector<std::int64_t>& values,
                   const std::string& where) {
  write_attribute(object, name, file_type(type), H5T_NATIVE_INT64, values.data(), where, values.size());
}

bool has_attribute(hid_t object, const std::string& name) { return H5Aexists(object, name.c_str()) > 0; }

std::string text_attribute(hid_t object, const std::string& name, const std::string& where) {
  const std::string what = "read attribute " + name + " of " + where;
  const auto [attribute, type] = open_attribute(object, name, H5T_STRING, where);
  if (check_hdf5(H5Tis_variable_str(type.get()), what) > 0) return variable_text(attribute, type, what);
  const std::size_t size = H5Tget_size(type.get());
  check(size > 0 && size <= max_text, Exit::corrupt,
        where + " is damaged (its attribute " + name + " claims " + std::to_string(size) + " bytes)");
  std::string text(size, '\0');
  check_hdf5(H5Aread(attribute.get(), type.get(), text.data()), what);
  text.resize(text.find_last_not_of('\0') + 1);
  return text;
}

std::int64_t int_attribute(hid_t object, const std::string& name, const std::string& where) {
  const auto [attribute, type] = open_attribute(object, name, H5T_INTEGER, where);
  std::int64_t value = 0;
  check_hdf5(H5Aread(attribute.get(), H5T_NATIVE_INT64, &value), "read attribute " + name + " of " + where);
  return value;
}

}  // namespace switchyard::hdf5
