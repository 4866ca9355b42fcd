#include "record/digest.hpp"

#include <filesystem>
#include <map>

#include "base/check.hpp"
#include "base/files.hpp"
#include "base/json.hpp"
#include "checkpoint/checkpoint.hpp"
#include "checkpoint/manifest.hpp"
#include "checkpoint/tensor_storage.hpp"
#include "record/in_use.hpp"
#include "record/segments.hpp"

namespace switchyard::record {
namespace {

using Lines = std::map<std::string, std::string>;  // name → sha256, sorted

/// Every invariant variable of `kind` along `dimension`.
void add_rows(Lines& lines, const char* prefix, FileKind kind, const std::string& dimension,
              const std::vector<Span>& spans) {
  for (const Variable& v : variables_of(kind)) {
    if (v.scope != Scope::invariant || growing_dimension(v) != dimension) continue;
    files::Sha256 sum;
    bool found = false;
    for (const Span& span : spans) {
      if (!span.file->has(v.name)) continue;
      found = true;
      for_each_piece(span.file->file(), v.name, span.first, span.count,
                     [&sum](const char* bytes, std::size_t size) { sum.add(bytes, size); });
    }
    if (found) lines[std::string(prefix) + v.name] = sum.hex();
  }
}

/// Variables without a growing dimension, of the last segment that has them.
void add_fixed(Lines& lines, const char* prefix, const RecordReader& file) {
  for (const Variable& v : variables_of(file.kind())) {
    if (v.scope != Scope::invariant || !growing_dimension(v).empty() || !file.has(v.name)) continue;
    files::Sha256 sum;
    for_each_piece(file.file(), v.name, 0, file.length(v.dims.front()),
                   [&sum](const char* bytes, std::size_t size) { sum.add(bytes, size); });
    lines[std::string(prefix) + v.name] = sum.hex();
  }
}

/// One file by itself, all rows that count.
void add_file(Lines& lines, const RecordReader& file) {
  for (const Dimension& d : dimensions_of(file.kind()))
    if (d.growing) add_rows(lines, "", file.kind(), d.name, {{&file, 0, file.length(d.name)}});
  add_fixed(lines, "", file);
}

void add_segments(Lines& lines, const std::string& run) {
  const std::vector<Segment> segments = open_segments(run);
  std::vector<const RecordReader*> runs, evaluations;
  for (const Segment& segment : segments) {
    if (segment.run) runs.push_back(segment.run.get());
    if (segment.evaluation) evaluations.push_back(segment.evaluation.get());
  }
  add_rows(lines, "run/", FileKind::run, "row", latest_rows(runs, "step"));
  add_rows(lines, "run/", FileKind::run, "evaluation", latest_rows(runs, "evaluation_step"));
  add_rows(lines, "evaluation/", FileKind::evaluation, "evaluation", latest_rows(evaluations, "step"));
  add_rows(lines, "tokens/", FileKind::tokens, "sample", latest_tokens(segments));
  if (!runs.empty()) add_fixed(lines, "run/", *runs.back());
  if (!evaluations.empty()) add_fixed(lines, "evaluation/", *evaluations.back());
}

/// Tensors cut over several files are hashed in the order of their first experts.
void add_checkpoint(Lines& lines, const std::string& folder) {
  std::map<std::string, std::map<std::int64_t, std::string>> places;  // dataset → first expert → file
  const std::string manifest = folder + "/manifest.json";
  for (const checkpoint::ManifestEntry& entry : checkpoint::parse_manifest(files::read_text(manifest), manifest)) {
    if (std::filesystem::path(entry.name).extension() != ".h5") continue;
    const hdf5::File file = hdf5::File::open(folder + "/" + entry.name);
    const bool experts = hdf5::has_attribute(file.id(), "first_expert");
    const std::int64_t first = experts ? hdf5::int_attribute(file.id(), "first_expert", file.path()) : 0;
    for (const std::string& name : file.datasets()) places[name][first] = file.path();
  }
  for (const auto& [name, files] : places) {
    files::Sha256 sum;
    for (const auto& [first, path] : files) {
      const hdf5::File file = hdf5::File::open(path);
      const auto rows = static_cast<std::int64_t>(checkpoint::check_tensor(file, name).extent[0]);
      for_each_piece(file, name, 0, rows, [&sum](const char* bytes, std::size_t size) { sum.add(bytes, size); });
    }
    lines["checkpoint/" + name] = sum.hex();
  }
  const std::string state = folder + "/state.json";
  lines["checkpoint/state"] = files::sha256_of_text(
      parse_json(files::read_text(state), state, "; remove this checkpoint", [](const nlohmann::json& json) {
        return json.at("step").dump() + " " + json.at("tokens").dump() + " " + json.at("bias").dump();
      }));
}

/// Of the newest checkpoint; where that was removed while it was read, by a job that goes on, of the newest one then.
void add_newest_checkpoint(Lines& lines, const std::string& run) {
  for (std::string folder = checkpoint::latest_checkpoint(run), next; !folder.empty(); folder = next) try {
      Lines found;
      add_checkpoint(found, folder);
      return lines.merge(found);
    } catch (const Error&) {
      next = checkpoint::latest_checkpoint(run);
      if (next == folder) throw;
    }
}

std::string digest_once(const std::string& path, Recorded kind) {
  Lines lines;
  if (kind == Recorded::file) add_file(lines, RecordReader(path));
  if (kind == Recorded::checkpoint) add_checkpoint(lines, path);
  if (kind == Recorded::run) {
    add_segments(lines, path);
    add_newest_checkpoint(lines, path);
  }
  std::string text;
  for (const auto& [name, sum] : lines) text += name + " " + sum + "\n";
  return text + "total " + files::sha256_of_text(text) + "\n";
}

}  // namespace

std::string digest(const std::string& path) {
  const Recorded kind = what_is(path);
  std::string text;
  read_again(path, [&] {
    text = digest_once(path, kind);
    return true;
  });
  return text;
}

}  // namespace switchyard::record
