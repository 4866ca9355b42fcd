// Datasets: their shape and storage, checked before anything is read; rows of them.
#include <algorithm>
#include <limits>

#include "base/check.hpp"
#include "hdf5/hdf5.hpp"

namespace switchyard::hdf5 {
namespace {

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

/// Ours: sums over every chunk, which may be shuffled and deflated before.
bool has_our_filters(hid_t list) {
  std::vector<H5Z_filter_t> found;
  for (int i = 0; i < H5Pget_nfilters(list); ++i) {
    unsigned flags = 0;
    std::size_t values = 0;
    found.push_back(H5Pget_filter2(list, static_cast<unsigned>(i), &flags, &values, nullptr, 0, nullptr, nullptr));
  }
  return found == std::vector<H5Z_filter_t>{H5Z_FILTER_FLETCHER32} ||
         found == std::vector<H5Z_filter_t>{H5Z_FILTER_SHUFFLE, H5Z_FILTER_DEFLATE, H5Z_FILTER_FLETCHER32};
}

std::int64_t saturated(hsize_t size) {
  return static_cast<std::int64_t>(std::min<hsize_t>(size, std::numeric_limits<std::int64_t>::max()));
}

}  // namespace

Extent extent_of(const Id& dataset, const std::string& where) {
  const std::string what = "read the shape of " + where;
  const Id space{check_hdf5(H5Dget_space(dataset.get()), what), H5Sclose};
  Extent extent(static_cast<std::size_t>(check_hdf5(H5Sget_simple_extent_ndims(space.get()), what)));
  check(!extent.empty(), Exit::corrupt, where + " is damaged (it has no dimension)");
  check_hdf5(H5Sget_simple_extent_dims(space.get(), extent.data(), nullptr), what);
  return extent;
}

Type type_of(const Id& dataset, const std::string& where) {
  const Id type{check_hdf5(H5Dget_type(dataset.get()), "read the type of " + where), H5Tclose};
  for (int t = 0; t <= static_cast<int>(Type::text32); ++t)
    if (H5Tequal(type.get(), file_type(static_cast<Type>(t))) > 0) return static_cast<Type>(t);
  throw Error(Exit::corrupt, where + " is damaged (it has a type that no schema version knows)");
}

Shape inspect(const Id& dataset, const std::string& where) {
  const std::string what = "read the storage of " + where;
  Shape shape{type_of(dataset, where), extent_of(dataset, where), {}};
  const Id list{check_hdf5(H5Dget_create_plist(dataset.get()), what), H5Pclose};
  check(H5Pget_layout(list.get()) == H5D_CHUNKED, Exit::corrupt, where + " is damaged (it is not stored in chunks)");
  shape.chunk.resize(shape.extent.size());
  const int rank = check_hdf5(H5Pget_chunk(list.get(), static_cast<int>(shape.chunk.size()), shape.chunk.data()), what);
  check(rank == static_cast<int>(shape.extent.size()), Exit::corrupt, where + " is damaged (its chunks do not fit it)");
  check(has_our_filters(list.get()), Exit::corrupt,
        where + " is damaged (its chunks are stored in another way than the schema's)");
  return shape;
}

Checked bytes_of_row(const Shape& shape) {
  Checked bytes = static_cast<std::int64_t>(size_of(shape.type));
  for (std::size_t d = 1; d < shape.extent.size(); ++d) bytes *= saturated(shape.extent[d]);
  return bytes;
}

void check_claim(const File& file, const Shape& shape, std::int64_t rows, const std::string& where) {
  constexpr std::int64_t largest_ratio = 1032;  // of zlib
  if (rows == 0) return;
  Checked chunk = static_cast<std::int64_t>(size_of(shape.type));
  for (const hsize_t size : shape.chunk) chunk *= saturated(size);
  const Checked bytes = Checked(rows) * bytes_of_row(shape), max_bytes = Checked(file.bytes()) * largest_ratio;
  check(std::max(bytes, chunk) <= max_bytes, Exit::corrupt,
        where + " is damaged (it claims " + to_string(bytes) + " bytes, more than the file can hold)");
}

void keep_a_chunk(const File& file, const std::string& name, const Shape& shape, Id& dataset) {
  constexpr std::int64_t usual = 1 << 20, max_bytes = 256 << 20;
  const Checked bytes = bytes_of_row(shape) * saturated(shape.chunk[0]);
  if (bytes <= usual || bytes > max_bytes) return;
  const std::string what = "open dataset " + name + " of " + file.path();
  const Id list{check_hdf5(H5Pcreate(H5P_DATASET_ACCESS), what), H5Pclose};
  check_hdf5(H5Pset_chunk_cache(list.get(), H5D_CHUNK_CACHE_NSLOTS_DEFAULT, static_cast<std::size_t>(bytes.value()),
                                H5D_CHUNK_CACHE_W0_DEFAULT),
             what);
  dataset = Id();  // what stands open has the usual room
  dataset = {check_hdf5(H5Dopen2(file.id(), name.c_str(), list.get()), what), H5Dclose};
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
  const hsize_t rows = extent_of(dataset, where)[0];
  check(first <= rows && count <= rows - first, Exit::corrupt, where + " is damaged (it has too few rows)");
  const auto [file, memory] = select_rows(dataset, first, count, what);
  check_hdf5(H5Dread(dataset.get(), memory_type(type), memory.get(), file.get(), H5P_DEFAULT, data), what);
}

}  // namespace switchyard::hdf5
