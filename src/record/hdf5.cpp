#include "record/hdf5.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/check.hpp"
#include "base/failure.hpp"
#include "base/files.hpp"

namespace switchyard::record::h5 {
namespace {

constexpr hsize_t page_bytes = 4096;  // the smallest page of any system
// More than opening a file takes: the library follows null pointers where memory ends, so that is found before it.
constexpr std::size_t spare_bytes = std::size_t{8} << 20;

bool out_of_space = false;  // from then on identifiers are left to the end of the process

/// Before the first call: errors come to us only, and HDF5 does not tidy up at exit, where a full disk makes it crash.
void prepare() {
  static const bool done = [] {
    H5dont_atexit();
    H5open();
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    return true;
  }();
  (void)done;
}

/// HDF5's descriptions, innermost first.
herr_t collect(unsigned, const H5E_error2_t* error, void* into) {
  static_cast<std::vector<std::string>*>(into)->push_back(error->desc ? error->desc : "");
  return 0;
}

/// The errno value that the innermost description quotes; 0 where there is none.
int quoted_errno(const std::string& text) {
  const auto at = text.find("errno = ");
  return at == std::string::npos ? 0 : std::atoi(text.c_str() + at + 8);
}

/// Whether an errno value tells of rights, memory or limits of the process rather than of the file.
bool means_no_access(int error) {
  const auto errors = {EACCES, EPERM, EROFS, ENOMEM, EMFILE, ENFILE};
  return std::find(errors.begin(), errors.end(), error) != errors.end();
}

Id property_list(hid_t kind) { return {check_hdf5(H5Pcreate(kind), "make an HDF5 property list"), H5Pclose}; }

Id access_list(H5F_libver_t earliest = H5F_LIBVER_EARLIEST) {
  require_memory(spare_bytes, "HDF5");
  Id list = property_list(H5P_FILE_ACCESS);
  check_hdf5(H5Pset_libver_bounds(list.get(), earliest, H5F_LIBVER_V110), "choose the HDF5 format");
#if H5_VERSION_GE(1, 10, 7)
  check_hdf5(H5Pset_file_locking(list.get(), false, true), "do without HDF5 file locks");
#endif
  check_hdf5(H5Pset_fclose_degree(list.get(), H5F_CLOSE_STRONG), "choose how HDF5 files close");
  return list;
}

struct TypeEntry {
  const char* name;
  std::size_t size;
};
constexpr std::array<TypeEntry, 7> type_table{
    {{"int16", 2}, {"int32", 4}, {"int64", 8}, {"uint8", 1}, {"float32", 4}, {"float64", 8}, {"text16", 16}}};

hid_t text16_type() {
  static const hid_t type = [] {
    const hid_t t = check_hdf5(H5Tcopy(H5T_C_S1), "make a text type");
    check_hdf5(H5Tset_size(t, 16), "size a text type");
    check_hdf5(H5Tset_strpad(t, H5T_STR_NULLPAD), "pad a text type");
    check_hdf5(H5Tset_cset(t, H5T_CSET_UTF8), "encode a text type");
    return t;
  }();
  return type;
}

/// The file space with rows [first, first + count) selected, and a memory space of that shape.
std::pair<Id, Id> select_rows(const Id& dataset, hsize_t first, hsize_t count, const std::string& what) {
  Extent start = extent_of(dataset, what), size = start;
  std::fill(start.begin(), start.end(), 0);
  start[0] = first;
  size[0] = count;
  Id file{check_hdf5(H5Dget_space(dataset.get()), what), H5Sclose};
  check_hdf5(H5Sselect_hyperslab(file.get(), H5S_SELECT_SET, start.data(), nullptr, size.data(), nullptr), what);
  Id memory{check_hdf5(H5Screate_simple(static_cast<int>(size.size()), size.data(), nullptr), what), H5Sclose};
  return {std::move(file), std::move(memory)};
}

}  // namespace

std::string library_version() {
  prepare();
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release);
}

void fail(const std::string& what, std::source_location at) {
  std::vector<std::string> text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect, &text);
  H5Eclear2(H5E_DEFAULT);
  int error = 0;
  for (const auto& line : text)
    if (error == 0) error = quoted_errno(line);
  out_of_space |= files::means_lost_storage(error);
  if (files::means_lost_storage(error) || means_no_access(error)) files::throw_system_error(error, what, "");
  std::string why = text.empty() ? "no reason given" : text.front();
  if (text.size() > 1) why += ": " + text.back();
  if (why.find("lock file") != std::string::npos) why += "; on this file system set HDF5_USE_FILE_LOCKING=FALSE";
  throw Error(Exit::corrupt,
              "cannot " + what + " (HDF5: " + why + ") at " + at.file_name() + ":" + std::to_string(at.line()));
}

Id::~Id() {
  if (valid() && !out_of_space) close_(id_);
}

void Id::close(const std::string& what, std::source_location at) {
  if (!valid()) return;
  const hid_t id = std::exchange(id_, H5I_INVALID_HID);
  if (!out_of_space) check_hdf5(close_(id), what, at);
}

std::size_t size_of(Type type) { return type_table[static_cast<int>(type)].size; }
const char* name_of(Type type) { return type_table[static_cast<int>(type)].name; }

hid_t file_type(Type type) {
  prepare();
  const hid_t types[] = {H5T_STD_I16LE, H5T_STD_I32LE, H5T_STD_I64LE, H5T_STD_U8LE, H5T_IEEE_F32LE, H5T_IEEE_F64LE};
  return type == Type::text16 ? text16_type() : types[static_cast<int>(type)];
}

hid_t memory_type(Type type) {
  prepare();
  const hid_t types[] = {H5T_NATIVE_INT16, H5T_NATIVE_INT32, H5T_NATIVE_INT64,
                         H5T_NATIVE_UINT8, H5T_NATIVE_FLOAT, H5T_NATIVE_DOUBLE};
  return type == Type::text16 ? text16_type() : types[static_cast<int>(type)];
}

std::int64_t elements(const Extent& extent) {
  std::int64_t n = 1;
  for (const hsize_t size : extent) n *= static_cast<std::int64_t>(size);
  return n;
}

// An index of chunks must lose none of them when the job is killed between two writes, or in one, between two pages:
// - B-trees, the index before 1.10, split: a node is cut before its parent knows the new one. The arrays of 1.10 grow.
// - Paged, no block of the file's structure crosses a page, and the kernel copies a page whole.
// - Created with the earliest bound, the file has a superblock without the mark "open for writing", with which plain
//   readers refuse what a killed job leaves; only its datasets, made after it is opened again, have the newer index.
// The array's largest blocks outgrow a page after some 8180 chunks of a file: segments end before (record::is_full).
File File::create(const std::string& path) {
  prepare();
  const std::string what = "create " + path;
  {
    const Id layout = property_list(H5P_FILE_CREATE), access = access_list();
    check_hdf5(H5Pset_file_space_strategy(layout.get(), H5F_FSPACE_STRATEGY_PAGE, false, 1), what);
    check_hdf5(H5Pset_file_space_page_size(layout.get(), page_bytes), what);
    Id empty{check_hdf5(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, layout.get(), access.get()), what), H5Fclose};
    empty.close(what);
  }
  const Id access = access_list(H5F_LIBVER_V110);
  return {path, Id(check_hdf5(H5Fopen(path.c_str(), H5F_ACC_RDWR, access.get()), what), H5Fclose)};
}

File File::open(const std::string& path) {
  prepare();
  const Id access = access_list();
  return {path, Id(check_hdf5(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), "open " + path), H5Fclose)};
}

Id File::make_group(const std::string& name) {
  const std::string what = "make group " + name + " in " + path_;
  const Id list = property_list(H5P_GROUP_CREATE);
  check_hdf5(H5Pset_obj_track_times(list.get(), false), what);
  return {check_hdf5(H5Gcreate2(id(), name.c_str(), H5P_DEFAULT, list.get(), H5P_DEFAULT), what), H5Gclose};
}

Id File::make_dataset(const std::string& name, Type type, const Storage& storage) {
  const std::string what = "make dataset " + name + " in " + path_;
  const Id list = property_list(H5P_DATASET_CREATE);
  const int rank = static_cast<int>(storage.extent.size());
  check_hdf5(H5Pset_obj_track_times(list.get(), false), what);
  check_hdf5(H5Pset_chunk(list.get(), rank, storage.chunk.data()), what);
  if (storage.deflate) {
    check_hdf5(H5Pset_shuffle(list.get()), what);
    check_hdf5(H5Pset_deflate(list.get(), 1), what);
  }
  check_hdf5(H5Pset_fletcher32(list.get()), what);
  Extent limit = storage.extent;
  if (storage.growing) limit[0] = H5S_UNLIMITED;
  const Id space{check_hdf5(H5Screate_simple(rank, storage.extent.data(), limit.data()), what), H5Sclose};
  return {check_hdf5(H5Dcreate2(id(), name.c_str(), file_type(type), space.get(), H5P_DEFAULT, list.get(), H5P_DEFAULT),
                     what),
          H5Dclose};
}

Id File::open_dataset(const std::string& name) const {
  return {check_hdf5(H5Dopen2(id(), name.c_str(), H5P_DEFAULT), "open dataset " + name + " of " + path_), H5Dclose};
}

bool File::has(const std::string& name) const {
  for (std::size_t end = name.find('/'); end != std::string::npos; end = name.find('/', end + 1))
    if (H5Lexists(id(), name.substr(0, end).c_str(), H5P_DEFAULT) <= 0) return false;
  return H5Lexists(id(), name.c_str(), H5P_DEFAULT) > 0;
}

std::vector<std::string> File::datasets() const {
  std::vector<std::string> names;
  const auto visit = [](hid_t, const char* name, const H5O_info_t* info, void* into) -> herr_t {
    if (info->type == H5O_TYPE_DATASET) static_cast<std::vector<std::string>*>(into)->push_back(name);
    return 0;
  };
  check_hdf5(H5Ovisit(id(), H5_INDEX_NAME, H5_ITER_INC, visit, &names), "list " + path_);
  std::sort(names.begin(), names.end());
  return names;
}

void File::rename(const std::string& path) {
  if (std::rename(path_.c_str(), path.c_str()) != 0) files::throw_system_error(errno, "rename", path_);
  path_ = path;
}

void File::flush() { check_hdf5(H5Fflush(id(), H5F_SCOPE_LOCAL), "write " + path_); }

void File::sync() { files::sync_path(path_); }

void File::close() { id_.close("close " + path_); }

Extent extent_of(const Id& dataset, const std::string& where) {
  const Id space{check_hdf5(H5Dget_space(dataset.get()), "read the shape of " + where), H5Sclose};
  Extent extent(check_hdf5(H5Sget_simple_extent_ndims(space.get()), "read the shape of " + where));
  if (!extent.empty())
    check_hdf5(H5Sget_simple_extent_dims(space.get(), extent.data(), nullptr), "read the shape of " + where);
  return extent;
}

Extent chunk_of(const Id& dataset, const std::string& where) {
  const Id list{check_hdf5(H5Dget_create_plist(dataset.get()), "read the chunks of " + where), H5Pclose};
  Extent chunk(extent_of(dataset, where).size());
  check_hdf5(H5Pget_chunk(list.get(), static_cast<int>(chunk.size()), chunk.data()), "read the chunks of " + where);
  return chunk;
}

Type type_of(const Id& dataset, const std::string& where) {
  const Id type{check_hdf5(H5Dget_type(dataset.get()), "read the type of " + where), H5Tclose};
  for (int t = 0; t < static_cast<int>(type_table.size()); ++t)
    if (H5Tequal(type.get(), file_type(static_cast<Type>(t))) > 0) return static_cast<Type>(t);
  throw Error(Exit::corrupt, where + " has a type that no schema version knows");
}

void write_rows(const Id& dataset, Type type, hsize_t first, hsize_t count, const void* data,
                const std::string& where) {
  const std::string what = "write " + where;
  Extent extent = extent_of(dataset, where);
  if (first + count > extent[0]) {
    extent[0] = first + count;
    check_hdf5(H5Dset_extent(dataset.get(), extent.data()), what);
  }
  const auto [file, memory] = select_rows(dataset, first, count, what);
  check_hdf5(H5Dwrite(dataset.get(), memory_type(type), memory.get(), file.get(), H5P_DEFAULT, data), what);
}

void read_rows(const Id& dataset, Type type, hsize_t first, hsize_t count, void* data, const std::string& where) {
  if (count == 0) return;
  const std::string what = "read " + where;
  const auto [file, memory] = select_rows(dataset, first, count, what);
  check_hdf5(H5Dread(dataset.get(), memory_type(type), memory.get(), file.get(), H5P_DEFAULT, data), what);
}

}  // namespace switchyard::record::h5
