#include "record/structure.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/files.hpp"
#include "config/moe_layers.hpp"
#include "config/yaml.hpp"

namespace switchyard::record {
namespace {

using Lengths = std::map<std::string, std::int64_t>;

constexpr std::int64_t first_with_codes = 8;  ///< version

/// Root attributes that are read: integers and texts.
void check_attributes(const hdf5::File& file, FileKind kind, std::int64_t version) {
  std::vector<const char*> integers, texts{"program_version", "commit"};
  if (kind == FileKind::run) integers = {"segment", "ranks", "step_tokens", "top_k"};
  if (kind == FileKind::run && version >= 3) integers.push_back("begins_after");
  if (kind == FileKind::run) texts.insert(texts.end(), {"config", "config_sha256", "provenance"});
  if (kind == FileKind::evaluation) texts.push_back("domains");
  if (kind == FileKind::results) texts.push_back("tasks");
  for (const char* name : integers)
    check(hdf5::int_attribute(file.id(), name, file.path()) >= 0, Exit::corrupt,
          file.path() + " is damaged (its attribute " + name + " is negative)");
  std::map<std::string, std::string> found;
  for (const char* name : texts) found[name] = hdf5::text_attribute(file.id(), name, file.path());
  check(kind != FileKind::run || files::sha256_of_text(found["config"]) == found["config_sha256"], Exit::corrupt,
        file.path() + " is damaged (its attribute config does not have the sum config_sha256)");
}

/// 0 where the file may lack the dimension and does.
std::int64_t length_of(const hdf5::File& file, const Dimension& dimension, std::int64_t version) {
  if (!file.has(dimension.name)) {
    check(version < dimension.since || dimension.of_mixtures, Exit::corrupt,
          file.path() + " lacks the dimension " + dimension.name);
    return 0;
  }
  const std::string where = file.path() + ":" + dimension.name;
  const hdf5::Shape shape = hdf5::inspect(file.open_dataset(dimension.name), where);
  const hdf5::Extent& extent = shape.extent;
  check(shape.type == hdf5::Type::i32 && extent.size() == 1 && extent[0] <= hsize_t{1} << 62, Exit::corrupt,
        where + " is damaged (it is no dimension)");
  check(dimension.growing || extent[0] > 0, Exit::corrupt, where + " is damaged (it has the length 0)");
  return static_cast<std::int64_t>(extent[0]);
}

void check_shape(const hdf5::File& file, const Variable& v, const hdf5::Shape& shape, const Lengths& lengths) {
  const std::string where = file.path() + ":" + v.name;
  check(shape.type == v.type, Exit::corrupt,
        where + " is damaged (it has another type than " + hdf5::name_of(v.type) + ")");
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
  hdf5::check_claim(file, shape, lengths.at(v.dims.front()), where);
}

/// A length of run.h5 that an attribute of it says too.
void require_length(const hdf5::File& file, const Lengths& lengths, const char* dimension, std::int64_t wanted,
                    const std::string& attribute) {
  const std::int64_t length = lengths.at(dimension);
  const std::string asked = "its attribute " + attribute + " asks for " + std::to_string(wanted);
  check(length > 0 || wanted == 0, Exit::corrupt,
        file.path() + " lacks the dimension " + dimension + " (" + asked + ")");
  check(length == wanted, Exit::corrupt,
        file.path() + ":" + dimension + " is damaged (it has the length " + std::to_string(length) + ", and " + asked +
            ")");
}

void check_rank_lengths(const hdf5::File& file, std::int64_t version, const Lengths& lengths) {
  const std::int64_t ranks = hdf5::int_attribute(file.id(), "ranks", file.path());
  for (const char* dimension : {"rank_from", "rank_to"}) require_length(file, lengths, dimension, ranks, "ranks");
  if (version >= 4) require_length(file, lengths, "timeline_rank", ranks, "ranks");  // which no earlier one has
}

/// Without it a file of which all layers are lost would pass for one of a dense model.
void check_layer_lengths(const hdf5::File& file, std::int64_t version, const Lengths& lengths) {
  constexpr int max_blocks = 1024;  // of any configuration that was allowed
  const LoadResult loaded = load_text(file.path(), hdf5::text_attribute(file.id(), "config", file.path()));
  if (!loaded.errors.empty()) return;  // of another version of the program: what it asks for is not known
  const auto& list = loaded.config.moe.experts_per_block;
  const int blocks = loaded.config.model.blocks;
  check(
      blocks <= max_blocks && loaded.config.moe.every > 0 && (list.empty() || static_cast<int>(list.size()) == blocks),
      Exit::corrupt, file.path() + " is damaged (no model is as its attribute config says)");
  const auto layers = moe_layers(loaded.config);
  require_length(file, lengths, "layer", static_cast<std::int64_t>(layers.size()), "config");
  require_length(file, lengths, "expert", largest_layer(layers), "config");
  check(version < 5 || layers.empty() || lengths.at("hop") > 0, Exit::corrupt,
        file.path() + " lacks the dimension hop (its attribute config asks for layers with experts)");
}

void check_variable(const hdf5::File& file, const Variable& v, std::int64_t version, const Lengths& lengths) {
  const std::string where = file.path() + ":" + v.name;
  if (!file.has(v.name)) {
    bool left_out = version < v.since || v.optional;
    for (const auto& dim : v.dims) left_out |= lengths.at(dim) == 0 && !file.has(dim);
    check(left_out, Exit::corrupt, where + " is missing");
    return;
  }
  const hdf5::Id dataset = file.open_dataset(v.name);
  check_shape(file, v, hdf5::inspect(dataset, where), lengths);
  check(hdf5::has_attribute(dataset.get(), "scope") &&
            hdf5::text_attribute(dataset.get(), "scope", where) == scope_name(v.scope),
        Exit::corrupt, where + " is damaged (it does not have the scope " + scope_name(v.scope) + ")");
  for (const char* words : {"units", "long_name"}) hdf5::text_attribute(dataset.get(), words, where);  // must be there
  if (version < first_with_codes) return;
  check(!v.codes.missing || hdf5::int_attribute(dataset.get(), "_FillValue", where) == no_value, Exit::corrupt,
        where + " is damaged (its _FillValue is not -1)");
  check(!v.codes.meanings || hdf5::text_attribute(dataset.get(), "flag_meanings", where) == v.codes.meanings,
        Exit::corrupt, where + " is damaged (its flags have other meanings)");
}

}  // namespace

Lengths check_structure(const hdf5::File& file, FileKind kind, std::int64_t version, const Limits& limits) {
  check_attributes(file, kind, version);
  Lengths lengths;
  for (const Dimension& d : dimensions_of(kind)) lengths[d.name] = length_of(file, d, version);
  if (kind == FileKind::run) {
    check_rank_lengths(file, version, lengths);
    check_layer_lengths(file, version, lengths);
  }
  for (const auto& [dimension, max_rows] : limits) lengths.at(dimension) = std::min(lengths.at(dimension), max_rows);
  for (const Variable& v : variables_of(kind)) check_variable(file, v, version, lengths);
  return lengths;
}

Config config_of(const hdf5::File& run) {
  return load_text(run.path(), hdf5::text_attribute(run.id(), "config", run.path())).config;
}

}  // namespace switchyard::record
