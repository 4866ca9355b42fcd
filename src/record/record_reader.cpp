#include "record/record_reader.hpp"

#include "base/check.hpp"

namespace switchyard::record {
namespace {

FileKind kind_of(const h5::File& file) {
  check(h5::has_attribute(file.id(), "schema") && h5::has_attribute(file.id(), "schema_version"), Exit::usage,
        file.path() + " is no record file (it has no attribute schema)");
  const std::string schema = h5::text_attribute(file.id(), "schema", file.path());
  const std::int64_t version = h5::int_attribute(file.id(), "schema_version", file.path());
  check(oldest_schema_version <= version && version <= schema_version, Exit::usage,
        file.path() + " has schema version " + std::to_string(version) + " (this program knows " +
            std::to_string(oldest_schema_version) + " to " + std::to_string(schema_version) +
            "); use the version that wrote it");
  for (const FileKind kind : {FileKind::run, FileKind::evaluation, FileKind::tokens, FileKind::results})
    if (schema == schema_name(kind)) return kind;
  throw Error(Exit::usage, file.path() + " has the schema " + schema + " (this program does not know it)");
}

}  // namespace

RecordReader::RecordReader(const std::string& path) : file_(h5::File::open(path)), kind_(kind_of(file_)) {}

std::int64_t RecordReader::length(const std::string& dimension) const {
  if (!file_.has(dimension)) return 0;
  return static_cast<std::int64_t>(h5::extent_of(file_.open_dataset(dimension), path() + ":" + dimension)[0]);
}

std::int64_t RecordReader::row_bytes(const std::string& variable) const {
  const h5::Id dataset = file_.open_dataset(variable);
  const std::string where = path() + ":" + variable;
  h5::Extent row = h5::extent_of(dataset, where);
  row[0] = 1;
  return h5::elements(row) * static_cast<std::int64_t>(h5::size_of(h5::type_of(dataset, where)));
}

void RecordReader::read_bytes(const std::string& variable, std::int64_t first, std::int64_t count, void* data) const {
  const h5::Id dataset = file_.open_dataset(variable);
  const std::string where = path() + ":" + variable;
  h5::read_rows(dataset, h5::type_of(dataset, where), static_cast<hsize_t>(first), static_cast<hsize_t>(count), data,
                where);
}

}  // namespace switchyard::record
