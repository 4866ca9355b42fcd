#include "record/record_reader.hpp"

#include <utility>

#include "base/check.hpp"

namespace switchyard::record {
namespace {

std::int64_t version_of(const hdf5::File& file) {
  check(hdf5::has_attribute(file.id(), "schema") && hdf5::has_attribute(file.id(), "schema_version"), Exit::usage,
        file.path() + " is no record file (it has no attribute schema)");
  return hdf5::int_attribute(file.id(), "schema_version", file.path());
}

FileKind kind_of(const hdf5::File& file) {
  const std::int64_t version = version_of(file);
  check(oldest_schema_version <= version && version <= schema_version, Exit::usage,
        file.path() + " has schema version " + std::to_string(version) + " (this program knows " +
            std::to_string(oldest_schema_version) + " to " + std::to_string(schema_version) +
            "); use the version that wrote it");
  const std::string schema = hdf5::text_attribute(file.id(), "schema", file.path());
  for (const FileKind kind : {FileKind::run, FileKind::evaluation, FileKind::tokens, FileKind::results})
    if (schema == schema_name(kind)) return kind;
  throw Error(Exit::usage, file.path() + " has the schema " + schema + " (this program does not know it)");
}

}  // namespace

OpenDataset::OpenDataset(const hdf5::File& file, const std::string& name)
    : where_(file.path() + ":" + name), dataset_(file.open_dataset(name)), shape_(hdf5::inspect(dataset_, where_)) {
  hdf5::keep_a_chunk(file, name, shape_, dataset_);
}

void OpenDataset::read(std::int64_t first, std::int64_t count, void* data) const {
  hdf5::read_rows(dataset_, shape_.type, static_cast<hsize_t>(first), static_cast<hsize_t>(count), data, where_);
}

RecordReader::RecordReader(const std::string& path) : RecordReader(hdf5::File::open(path), {}) {}

RecordReader::RecordReader(hdf5::File file, const Limits& limits)
    : file_(std::move(file)),
      kind_(kind_of(file_)),
      lengths_(check_structure(file_, kind_, version_of(file_), limits)) {}

std::int64_t RecordReader::length(const std::string& dimension) const {
  const auto found = lengths_.find(dimension);
  return found == lengths_.end() ? 0 : found->second;
}

}  // namespace switchyard::record
