#include "record/hdf5.hpp"

namespace switchyard::record::h5 {
namespace {

Id text_type() {
  Id type{check_hdf5(H5Tcopy(H5T_C_S1), "make a text type"), H5Tclose};
  check_hdf5(H5Tset_size(type.get(), H5T_VARIABLE), "size a text type");
  check_hdf5(H5Tset_cset(type.get(), H5T_CSET_UTF8), "encode a text type");
  return type;
}

void write_attribute(hid_t object, const std::string& name, hid_t type, hid_t memory, const void* value,
                     const std::string& where) {
  const std::string what = "write attribute " + name + " of " + where;
  const Id space{check_hdf5(H5Screate(H5S_SCALAR), what), H5Sclose};
  const Id attribute{check_hdf5(H5Acreate2(object, name.c_str(), type, space.get(), H5P_DEFAULT, H5P_DEFAULT), what),
                     H5Aclose};
  check_hdf5(H5Awrite(attribute.get(), memory, value), what);
}

}  // namespace

void set_attribute(hid_t object, const std::string& name, const std::string& text, const std::string& where) {
  const Id type = text_type();
  const char* value = text.c_str();
  write_attribute(object, name, type.get(), type.get(), &value, where);
}

void set_attribute(hid_t object, const std::string& name, std::int64_t value, const std::string& where) {
  write_attribute(object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value, where);
}

bool has_attribute(hid_t object, const std::string& name) { return H5Aexists(object, name.c_str()) > 0; }

std::string text_attribute(hid_t object, const std::string& name, const std::string& where) {
  const std::string what = "read attribute " + name + " of " + where;
  const Id attribute{check_hdf5(H5Aopen(object, name.c_str(), H5P_DEFAULT), what), H5Aclose};
  const Id type = text_type();
  char* value = nullptr;
  check_hdf5(H5Aread(attribute.get(), type.get(), &value), what);
  const std::string text = value ? value : "";
  H5free_memory(value);
  return text;
}

std::int64_t int_attribute(hid_t object, const std::string& name, const std::string& where) {
  const std::string what = "read attribute " + name + " of " + where;
  const Id attribute{check_hdf5(H5Aopen(object, name.c_str(), H5P_DEFAULT), what), H5Aclose};
  std::int64_t value = 0;
  check_hdf5(H5Aread(attribute.get(), H5T_NATIVE_INT64, &value), what);
  return value;
}

}  // namespace switchyard::record::h5
