#include "record/record_file.hpp"

#include <hdf5_hl.h>

#include <algorithm>
#include <cstdio>

#include "base/check.hpp"
#include "base/files.hpp"
#include "record/provenance.hpp"

namespace switchyard::record {

namespace {

void describe_codes(const Variable& v, hid_t dataset, const std::string& where) {
  if (v.codes.missing) hdf5::set_attribute(dataset, "_FillValue", v.type, {no_value}, where);
  if (!v.codes.meanings) return;
  hdf5::set_attribute(dataset, "flag_values", v.type, {0, 1}, where);
  hdf5::set_attribute(dataset, "flag_meanings", v.codes.meanings, where);
}

}  // namespace

RecordFile::RecordFile(FileKind kind, const std::string& path, const Sizes& sizes)
    : kind_(kind), sizes_(sizes), file_(hdf5::File::create(path + ".part")) {
  attribute("schema", schema_name(kind));
  attribute("schema_version", schema_version);
  attribute("Conventions", "Switchyard-" + std::to_string(schema_version));
  attribute("program_version", program_version());
  attribute("commit", program_commit());
  for (const auto& d : dimensions_of(kind)) make_dimension(d);
  for (const auto& v : variables_of(kind)) make_variable(v);
}

void RecordFile::publish() {
  file_.flush();
  file_.sync();
  file_.rename(file_.path().substr(0, file_.path().rfind(".part")));
  files::sync_folder_of(file_.path());
}

/// A dimension without values of its own, marked the way netCDF does.
void RecordFile::make_dimension(const Dimension& d) {
  const auto size = static_cast<hsize_t>(sizes_.at(d.name));
  if (size == 0) return;
  const hdf5::Storage storage{{d.growing ? 0 : size}, {d.growing ? 1024 : size}, d.growing, false};
  hdf5::Id scale = file_.make_dataset(d.name, hdf5::Type::i32, storage);
  char mark[80];
  std::snprintf(mark, sizeof mark, "This is a netCDF dimension but not a netCDF variable.%10lld",
                static_cast<long long>(storage.extent[0]));
  hdf5::check_hdf5(H5DSset_scale(scale.get(), mark), "make dimension " + where(d.name));
  hdf5::set_attribute(scale.get(), "long_name", d.meaning, where(d.name));
  scales_.emplace(d.name, std::move(scale));
}

void RecordFile::make_variable(const Variable& v) {
  hdf5::Storage storage;
  storage.growing = !growing_dimension(v).empty();
  storage.deflate = true;
  for (const auto& dim : v.dims) {
    const auto size = static_cast<hsize_t>(sizes_.at(dim));
    if (size == 0) return;
    storage.chunk.push_back(size);
  }
  storage.extent = storage.chunk;
  if (storage.growing) storage.extent[0] = 0;
  hdf5::Id dataset = file_.make_dataset(v.name, v.type, storage);
  for (std::size_t i = 0; i < v.dims.size(); ++i)
    hdf5::check_hdf5(H5DSattach_scale(dataset.get(), scales_.at(v.dims[i]).get(), static_cast<unsigned>(i)),
                     "name the dimensions of " + where(v.name));
  hdf5::set_attribute(dataset.get(), "scope", scope_name(v.scope), where(v.name));
  hdf5::set_attribute(dataset.get(), "units", v.units, where(v.name));
  hdf5::set_attribute(dataset.get(), "long_name", v.long_name, where(v.name));
  describe_codes(v, dataset.get(), where(v.name));
  datasets_.emplace(v.name, std::move(dataset));
}

void RecordFile::attribute(const std::string& name, const std::string& text) {
  hdf5::set_attribute(file_.id(), name, text, file_.path());
}

void RecordFile::attribute(const std::string& name, std::int64_t value) {
  hdf5::set_attribute(file_.id(), name, value, file_.path());
}

void RecordFile::write(const std::string& name, const void* data) {
  for (const auto& v : variables_of(kind_)) {
    if (v.name != name || !has(name)) continue;
    hdf5::write_rows(datasets_.at(name), v.type, 0, static_cast<hsize_t>(sizes_.at(v.dims[0])), data, where(name));
  }
}

void RecordFile::append(const std::string& dimension, std::int64_t rows, const std::vector<Column>& columns) {
  std::int64_t& done = rows_[dimension];
  const std::int64_t chunk = sizes_.at(dimension);
  expect(rows > 0 && rows <= chunk && done % chunk == 0, "whole chunks before a part-filled one");
  for (const auto& v : variables_of(kind_)) {
    if (growing_dimension(v) != dimension || !has(v.name)) continue;
    const auto column =
        std::find_if(columns.begin(), columns.end(), [&](const Column& c) { return v.name == std::string(c.name); });
    expect(column != columns.end(), "a column for every variable");
    hdf5::write_rows(datasets_.at(v.name), v.type, static_cast<hsize_t>(done), static_cast<hsize_t>(rows), column->data,
                     where(v.name));
  }
  file_.flush();
  done += rows;
  const hsize_t length = static_cast<hsize_t>(done);
  hdf5::check_hdf5(H5Dset_extent(scales_.at(dimension).get(), &length), "write " + where(dimension));
  file_.flush();
}

void RecordFile::sync() { file_.sync(); }

void RecordFile::close() {
  if (!file_.is_open()) return;
  for (auto* ids : {&datasets_, &scales_}) {
    for (auto& [name, id] : *ids) id.close("write " + where(name));
    ids->clear();
  }
  file_.close();
  file_.sync();
}

}  // namespace switchyard::record
