#include "hdf5/hdf5.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <new>

#include "base/check.hpp"
#include "base/failure.hpp"
#include "base/files.hpp"
#include "hdf5/probe.hpp"
#include "hdf5/times.hpp"

namespace switchyard::hdf5 {
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

/// Whether an errno value tells of the system and not of what the file holds.
bool is_of_the_system(int error) {
  constexpr std::array errors{EACCES, EPERM, EROFS, ENOENT, ENOMEM, EMFILE, ENFILE};
  return files::means_lost_storage(error) || std::find(errors.begin(), errors.end(), error) != errors.end();
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
constexpr std::array<TypeEntry, 8> type_table{{{"int16", 2},
                                               {"int32", 4},
                                               {"int64", 8},
                                               {"uint8", 1},
                                               {"float32", 4},
                                               {"float64", 8},
                                               {"text16", 16},
                                               {"text32", 32}}};

hid_t make_text(std::size_t bytes) {
  const hid_t t = check_hdf5(H5Tcopy(H5T_C_S1), "make a text type");
  check_hdf5(H5Tset_size(t, bytes), "size a text type");
  check_hdf5(H5Tset_strpad(t, H5T_STR_NULLPAD), "pad a text type");
  check_hdf5(H5Tset_cset(t, H5T_CSET_UTF8), "encode a text type");
  return t;
}

hid_t text_type(Type type) {
  static const hid_t of_16 = make_text(16), of_32 = make_text(32);
  return type == Type::text16 ? of_16 : of_32;
}

/// "a", "a/b", "a/b/c" of "a/b/c", as long as visit(part) is true; whether it always was.
template <class Visit>
bool for_each_prefix(const std::string& name, Visit visit) {
  for (std::size_t end = name.find('/'); end != std::string::npos; end = name.find('/', end + 1))
    if (!visit(name.substr(0, end))) return false;
  return visit(name);
}

}  // namespace

std::string library_version() {
  prepare();
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release);
}

void fail(const std::string& what) {
  std::vector<std::string> text;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect, &text);
  H5Eclear2(H5E_DEFAULT);
  int error = 0;
  for (const auto& line : text)
    if (error == 0) error = quoted_errno(line);
  out_of_space = out_of_space || files::means_lost_storage(error);
  if (is_of_the_system(error)) files::throw_system_error(error, what, "");
  std::string why = text.empty() ? "no reason given" : text.front();
  if (why.find("lock file") != std::string::npos) why += "; on this file system set HDF5_USE_FILE_LOCKING=FALSE";
  throw Error(Exit::corrupt, "cannot " + what + " (HDF5: " + why + ")");
}

Id::~Id() {
  if (valid() && !out_of_space) close_(id_);
}

void Id::close(const std::string& what) {
  if (!valid()) return;
  const hid_t id = std::exchange(id_, H5I_INVALID_HID);
  if (!out_of_space) check_hdf5(close_(id), what);
}

std::size_t size_of(Type type) { return type_table[static_cast<int>(type)].size; }
const char* name_of(Type type) { return type_table[static_cast<int>(type)].name; }

hid_t file_type(Type type) {
  prepare();
  const hid_t types[] = {H5T_STD_I16LE, H5T_STD_I32LE, H5T_STD_I64LE, H5T_STD_U8LE, H5T_IEEE_F32LE, H5T_IEEE_F64LE};
  return is_text(type) ? text_type(type) : types[static_cast<int>(type)];
}

hid_t memory_type(Type type) {
  prepare();
  const hid_t types[] = {H5T_NATIVE_INT16, H5T_NATIVE_INT32, H5T_NATIVE_INT64,
                         H5T_NATIVE_UINT8, H5T_NATIVE_FLOAT, H5T_NATIVE_DOUBLE};
  return is_text(type) ? text_type(type) : types[static_cast<int>(type)];
}

std::int64_t elements(const Extent& extent) {
  std::int64_t n = 1;
  for (const hsize_t size : extent) n *= static_cast<std::int64_t>(size);
  return n;
}

// An index of chunks must lose none of them when the job is killed between two writes, or in one, between two pages:
// - B-trees, the index before 1.10, split: a node is cut before its parent knows the new one. The arrays of 1.10 grow.
// - Paged, no block of the file's structure crosses a page, and the kernel copies a page whole.
// - Created with the bound 1.8, the file has a superblock without the mark "open for writing", with which plain readers
//   refuse what a killed job leaves; only its datasets, made after it is opened again, have the newer index.
// From 1.8 on all structure has sums, so that damage is found and not followed; the bounds before have none. Only
// attributes of 64 KB or more, the tables of large sweeps, stand outside it.
// The array's largest blocks outgrow a page after some 8180 chunks of a file: segments end before (record::is_full).
File File::create(const std::string& path) {
  prepare();
  const std::string what = "create " + path;
  {
    const Id layout = property_list(H5P_FILE_CREATE), access = access_list(H5F_LIBVER_V18);
    check_hdf5(H5Pset_file_space_strategy(layout.get(), H5F_FSPACE_STRATEGY_PAGE, false, 1), what);
    check_hdf5(H5Pset_file_space_page_size(layout.get(), page_bytes), what);
    check_hdf5(H5Pset_obj_track_times(layout.get(), false), what);  // of the root group: equal files, whenever written
    check_hdf5(H5Pset_attr_phase_change(layout.get(), 1024, 0), what);  // in the root's header, which has sums
    Id empty{check_hdf5(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, layout.get(), access.get()), what), H5Fclose};
    empty.close(what);
  }
  const Id access = access_list(H5F_LIBVER_V110);
  return {path, Id(check_hdf5(H5Fopen(path.c_str(), H5F_ACC_RDWR, access.get()), what), H5Fclose)};
}

File File::open(const std::string& path) {
  ::close(files::open_regular(path));
  probe(path);
  return open_unprobed(path);
}

File File::open_unprobed(const std::string& path) {
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
  const std::string what = "open dataset " + name + " of " + path_;
  for_each_prefix(name, [&](const std::string& part) {
    H5L_info_t link;
    check_hdf5(H5Lget_info(id(), part.c_str(), &link, H5P_DEFAULT), what);
    check(link.type == H5L_TYPE_HARD, Exit::corrupt,
          path_ + " is damaged (" + part + " is a link to another place); no such file is ours");
    return true;
  });
  return {check_hdf5(H5Dopen2(id(), name.c_str(), H5P_DEFAULT), what), H5Dclose};
}

bool File::has(const std::string& name) const {
  return for_each_prefix(name, [&](const std::string& part) { return H5Lexists(id(), part.c_str(), H5P_DEFAULT) > 0; });
}

std::vector<std::string> File::datasets() const {
  std::vector<std::string> names;
  const auto visit = [](hid_t, const char* name, const H5O_info_t* info, void* into) -> herr_t {
    if (info->type == H5O_TYPE_DATASET) static_cast<std::vector<std::string>*>(into)->push_back(name);
    return 0;
  };
  check_hdf5(H5Ovisit2(id(), H5_INDEX_NAME, H5_ITER_INC, visit, &names, H5O_INFO_BASIC), "list " + path_);
  std::sort(names.begin(), names.end());
  return names;
}

void File::rename(const std::string& path) {
  if (std::rename(path_.c_str(), path.c_str()) != 0) files::throw_system_error(errno, "rename", path_);
  path_ = path;
}

std::int64_t File::bytes() const {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(path_, error);
  if (error) files::throw_system_error(error.value(), "read the size of", path_);
  return static_cast<std::int64_t>(bytes);
}

void File::flush() { check_hdf5(H5Fflush(id(), H5F_SCOPE_LOCAL), "write " + path_); }

void File::sync() { files::sync_path(path_); }

void File::close() {
  id_.close("close " + path_);
  settle_times(path_);
}

}  // namespace switchyard::hdf5
