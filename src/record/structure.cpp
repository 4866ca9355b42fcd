#include "record/structure.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/files.hpp"

namespace switchyard::record {
namespace {

using Lengths = std::map<std::string, std::int64_t>;

/// Root attributes that are read: integers and texts.
void check_attributes(const h5::File& file, FileKind kind) {
  std::vector<const char*> integers, texts{"program_version", "commit"};
  if (kind == FileKind::run) integers = {"segment", "ranks", "step_tokens", "top_k"};
  if (kind == FileKind::run && h5::has_attribute(file.id(), "begins_after")) integers.push_back("begins_after");
  if (kind == FileKind::run) texts.insert(texts.end(), {"config", "config_sha256", "provenance"});
  if (kind == FileKind::evaluation) texts.push_back("domains");
  if (kind == FileKind::results) texts.push_back("tasks");
  for (const char* name : integers)
    check(h5::int_attribute(file.id(), name, file.path()) >= 0, Exit::corrupt,
          file.path() + " is damaged (its attribute " + name + " is negative)");
  std::map<std::string, std::string> found;
  for (const char* name : texts) found[name] = h5::text_attribute(file.id(), name, file.path());
  check(kind != FileKind::run || files::sha256_of_text(found["config"]) == found["config_sha256"], Exit::corrupt,
        file.path() + " is damaged (its attribute config does not have the sum config_sha256)");
}

std::int64_t length_of(const h5::File& file, const char* dimension) {
  if (!file.has(dimension)) return 0;
  const std::string where = file.path() + ":" + dimension;
  const h5::Shape shape = h5::inspect(file.open_dataset(dimension), where);
  const h5::Extent& extent = shape.extent;
  check(shape.type == h5::Type::i32 && extent.size() == 1 && extent[0] <= hsize_t{1} << 62, Exit::corrupt,
        where + " is damaged (it is no dimension)");
  return static_cast<std::int64_t>(extent[0]);
}

void check_shape(const h5::File& file, const Variable& v, const h5::Shape& shape, const Lengths& lengths) {
  const std::string where = file.path() + ":" + v.name;
  check(shape.type == v.type, Exit::corrupt,
        where + " is damaged (it has another type than " + h5::name_of(v.type) + ")");
  check(shape.extent.size() == v.dims.size(), Exit::corrupt,
        where + " is damaged (it has another number of dimensions than the schema)");
  const bool growing = !growing_dimension(v).empty();
  for (std::size_t d = 0; d < v.dims.size(); ++d) {
    const auto length = static_cast<hsize_t>(lengths.at(v.dims[d]));
    const bool appended = growing && d == 0;  // there a running or killed job leaves rows that do not count yet
    check(shape.extent[d] == length || (appended && shape.extent[d] > length), Exit::corrupt,
          where + " is damaged (it has " + std::to_string(shape.extent[d]) + " along " + v.dims[d] + ", not " +
              std::to_string(length) + ")");
    check(appended || shape.chunk[d] == shape.extent[d], Exit::corrupt,
          where + " is damaged (its chunks are cut along " + v.dims[d] + ")");
  }
  h5::check_claim(file, shape, lengths.at(v.dims.front()), where);
}

void check_variable(const h5::File& file, const Variable& v, std::int64_t version, const Lengths& lengths) {
  const std::string where = file.path() + ":" + v.name;
  if (!file.has(v.name)) {
    bool left_out = version < v.since;
    for (const auto& dim : v.dims) left_out |= lengths.at(dim) == 0 && !file.has(dim);
    check(left_out, Exit::corrupt, where + " is missing");
    return;
  }
  const h5::Id dataset = file.open_dataset(v.name);
  check_shape(file, v, h5::inspect(dataset, where), lengths);
  check(h5::has_attribute(dataset.get(), "scope") &&
            h5::text_attribute(dataset.get(), "scope", where) == scope_name(v.scope),
        Exit::corrupt, where + " is damaged (it does not have the scope " + scope_name(v.scope) + ")");
}

}  // namespace

Lengths check_structure(const h5::File& file, FileKind kind, std::int64_t version, const Limits& limits) {
  check_attributes(file, kind);
  Lengths lengths;
  for (const Dimension& d : dimensions_of(kind)) lengths[d.name] = length_of(file, d.name);
  for (const auto& [dimension, most] : limits) lengths.at(dimension) = std::min(lengths.at(dimension), most);
  for (const Variable& v : variables_of(kind)) check_variable(file, v, version, lengths);
  return lengths;
}

}  // namespace switchyard::record
