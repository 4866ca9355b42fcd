#include "record/verify.hpp"

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/check.hpp"
#include "base/failure.hpp"
#include "base/files.hpp"
#include "record/checkpoint.hpp"
#include "record/manifest.hpp"
#include "record/run_folder.hpp"
#include "record/verify_laws.hpp"

namespace switchyard::record {
namespace {

namespace fs = std::filesystem;
using Problems = std::vector<std::string>;

void append(Problems& all, const Problems& more) { all.insert(all.end(), more.begin(), more.end()); }

/// Turns an error into a problem; true where there was none. What the system refuses (rights, a disk that fails,
/// memory) says nothing of the files and ends the check.
template <class Work>
bool attempt(Problems& problems, Work work) {
  try {
    work();
    return true;
  } catch (const std::exception& e) {
    const Error error = as_error(e);
    if (error.code() != Exit::corrupt) throw error;
    problems.push_back(error.what());
    return false;
  }
}

/// Type, attributes and dimensions of one variable against the table and the dimension scales.
void check_variable(const RecordReader& file, const Variable& v, Problems& problems) {
  const std::string where = file.path() + ":" + v.name;
  bool left_out = false;
  for (const auto& dim : v.dims) left_out |= !file.has(dim);
  if (!file.has(v.name)) {
    left_out |= file.attribute("schema_version") < v.since;
    if (!left_out) problems.push_back(where + " is missing");
    return;
  }
  const h5::Id dataset = file.file().open_dataset(v.name);
  if (h5::type_of(dataset, where) != v.type)
    problems.push_back(where + " has another type than " + h5::name_of(v.type));
  if (!h5::has_attribute(dataset.get(), "scope") ||
      h5::text_attribute(dataset.get(), "scope", where) != scope_name(v.scope))
    problems.push_back(where + " does not have the scope " + scope_name(v.scope));
  const h5::Extent extent = h5::extent_of(dataset, where), chunk = h5::chunk_of(dataset, where);
  if (extent.size() != v.dims.size()) {
    problems.push_back(where + " has another number of dimensions than the schema");
    return;
  }
  const bool growing = !growing_dimension(v).empty();
  for (std::size_t d = 0; d < extent.size(); ++d) {
    const auto length = static_cast<hsize_t>(file.length(v.dims[d]));
    // A kill may leave one chunk that is not acknowledged yet.
    const bool tail = growing && d == 0 && extent[0] > length && extent[0] <= length + chunk[0];
    if (extent[d] != length && !tail)
      problems.push_back(where + " has " + std::to_string(extent[d]) + " along " + v.dims[d] + ", not " +
                         std::to_string(length));
  }
}

/// Reads what counts of every variable, so that HDF5 checks the sums of all chunks.
void read_everything(const RecordReader& file, Problems& problems) {
  for (const Variable& v : variables_of(file.kind()))
    if (file.has(v.name))
      attempt(problems, [&] {
        for_each_piece(file.file(), v.name, 0, file.length(v.dims.front()), [](const char*, std::size_t) {});
      });
}

void check_record_file(const std::string& path, Problems& problems) {
  Problems mine;
  attempt(mine, [&] {
    const RecordReader file(path);
    std::set<std::string> known;
    for (const auto& d : dimensions_of(file.kind())) known.insert(d.name);
    for (const auto& v : variables_of(file.kind())) {
      known.insert(v.name);
      attempt(mine, [&] { check_variable(file, v, mine); });
    }
    for (const auto& name : file.file().datasets())
      if (!known.count(name)) mine.push_back(path + ":" + name + " is not in the schema");
    read_everything(file, mine);
    if (!mine.empty()) return;  // laws need sound data
    if (file.kind() == FileKind::run) append(mine, check_run_rows(file));
    if (file.kind() == FileKind::tokens) append(mine, check_token_rows(file));
    if (file.kind() == FileKind::evaluation) append(mine, check_evaluation_rows(file));
  });
  append(problems, mine);
}

void check_tensor_file(const std::string& path, Problems& problems) {
  attempt(problems, [&] {
    const h5::File file = h5::File::open(path);
    for (const auto& name : file.datasets())
      attempt(problems, [&] {
        const auto rows = static_cast<std::int64_t>(h5::extent_of(file.open_dataset(name), path)[0]);
        for_each_piece(file, name, 0, rows, [](const char*, std::size_t) {});
      });
  });
}

void check_checkpoint(const std::string& folder, Problems& problems) {
  const std::string manifest = folder + "/manifest.json";
  attempt(problems, [&] {
    std::set<std::string> listed{"manifest.json"};
    for (const ManifestEntry& entry : parse_manifest(files::read_text(manifest), manifest)) {
      listed.insert(entry.name);
      if (attempt(problems, [&] { check_file(folder, entry); }) && fs::path(entry.name).extension() == ".h5")
        check_tensor_file(folder + "/" + entry.name, problems);
    }
    for (const auto& entry : fs::directory_iterator(folder))
      if (!listed.count(entry.path().filename().string()))
        problems.push_back(entry.path().string() + " is not in the manifest");
  });
}

/// Steps of the first and last row of a segment; 0 where it has none.
std::pair<std::int64_t, std::int64_t> rows_of(const Segment& segment) {
  const std::int64_t rows = segment.run ? segment.run->length("row") : 0;
  if (rows == 0) return {0, 0};
  const auto steps = segment.run->read<std::int64_t>("step", 0, rows);
  return {steps.front(), steps.back()};
}

/// Whether all ranks are known to have written a segment's last step: the next rows, or where there are none the newest
/// checkpoint, take up where it ends.
bool has_ended(const std::vector<Segment>& segments, std::size_t i, std::int64_t checkpoint) {
  const std::int64_t last = rows_of(segments[i]).second;
  for (std::size_t next = i + 1; next < segments.size(); ++next)
    if (const std::int64_t first = rows_of(segments[next]).first; first > 0) return first == last + 1;
  return checkpoint == last;
}

/// No step may be missing up to the newest row and the newest checkpoint.
void check_coverage(const std::string& run, const std::vector<Segment>& segments, Problems& problems) {
  std::vector<const RecordReader*> files;
  for (const auto& segment : segments)
    if (segment.run) files.push_back(segment.run.get());
  std::int64_t next = 1;
  for (const Span& span : latest_rows(files, "step"))
    for (const std::int64_t step : span.file->read<std::int64_t>("step", span.first, span.count)) {
      if (step > next)
        problems.push_back(run + ": rows of steps " + std::to_string(next) + " to " + std::to_string(step - 1) +
                           " are missing");
      next = step + 1;
    }
  const std::int64_t step = checkpoint_step(run);
  if (step >= next)
    problems.push_back(run + ": rows of steps " + std::to_string(next) + " to " + std::to_string(step) +
                       " are missing (the newest checkpoint is at the last of them)");
}

void check_run(const std::string& run, Problems& problems) {
  for (int segment = 0; segment < RunFolder::count_segments(run); ++segment)
    for (const std::string& path : record_files(RunFolder::segment_path(run, segment)))
      check_record_file(path, problems);
  for (const std::string& folder : list_checkpoints(run)) check_checkpoint(folder, problems);
  if (!problems.empty()) return;
  attempt(problems, [&] {
    const std::vector<Segment> segments = open_segments(run);
    const std::int64_t checkpoint = checkpoint_step(run);
    for (std::size_t i = 0; i < segments.size(); ++i) {
      append(problems, check_samples(segments[i], has_ended(segments, i, checkpoint)));
      append(problems, check_evaluations(segments[i]));
    }
    check_coverage(run, segments, problems);
  });
}

bool is_tensor_file(const std::string& path) {
  const h5::File file = h5::File::open(path);
  return h5::has_attribute(file.id(), "schema") &&
         h5::text_attribute(file.id(), "schema", path) == "switchyard-checkpoint";
}

}  // namespace

std::vector<std::string> verify_path(const std::string& path) {
  Problems problems;
  if (fs::is_directory(path + "/segments")) {
    check_run(path, problems);
  } else if (fs::exists(path + "/manifest.json")) {
    check_checkpoint(path, problems);
  } else if (fs::is_regular_file(path)) {
    bool tensors = false;
    if (!attempt(problems, [&] { tensors = is_tensor_file(path); })) return problems;
    tensors ? check_tensor_file(path, problems) : check_record_file(path, problems);
  } else {
    throw Error(Exit::usage, path + " is neither a run folder, nor a checkpoint, nor a file");
  }
  return problems;
}

}  // namespace switchyard::record
