#include "checkpoint/tensor_storage.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/files.hpp"
#include "base/schema_version.hpp"

namespace switchyard::checkpoint {

hdf5::Extent to_extent(const std::vector<std::int64_t>& shape) { return {shape.begin(), shape.end()}; }

hdf5::Storage storage_of(hdf5::Extent extent, bool experts) {
  constexpr hsize_t wanted = 1 << 20;
  const std::size_t cut = experts && extent.size() > 1 ? 1 : 0;
  hdf5::Extent chunk = extent;
  if (experts) chunk[0] = 1;
  hsize_t row = 1;
  for (std::size_t d = cut + 1; d < extent.size(); ++d) row *= extent[d];
  if (!experts || cut == 1) {
    const hsize_t rows = std::clamp<hsize_t>(wanted / row, 1, extent[cut]), pieces = (extent[cut] + rows - 1) / rows;
    chunk[cut] = (extent[cut] + pieces - 1) / pieces;
  }
  return {std::move(extent), std::move(chunk), false, false};
}

hdf5::Shape check_tensor(const hdf5::File& file, const std::string& name) {
  const std::string where = file.path() + ":" + name;
  hdf5::Shape shape = hdf5::inspect(file.open_dataset(name), where);
  check(shape.type == hdf5::Type::f32, Exit::corrupt, where + " is damaged (it has another type than float32)");
  hdf5::check_claim(file, shape, static_cast<std::int64_t>(shape.extent[0]), where);
  return shape;
}

void start_file(hdf5::File& file, const char* content) {
  hdf5::set_attribute(file.id(), "schema", "switchyard-checkpoint", file.path());
  hdf5::set_attribute(file.id(), "schema_version", schema_version, file.path());
  hdf5::set_attribute(file.id(), "content", content, file.path());
}

ManifestEntry finish_file(hdf5::File& file, const std::string& folder, const std::string& name) {
  file.flush();
  file.close();
  files::sync_path(folder + "/" + name);
  return measure_file(folder, name);
}

}  // namespace switchyard::checkpoint
