#include "record/verify.hpp"

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "base/check.hpp"
#include "base/failure.hpp"
#include "base/files.hpp"
#include "checkpoint/checkpoint.hpp"
#include "checkpoint/manifest.hpp"
#include "checkpoint/tensor_storage.hpp"
#include "record/in_use.hpp"
#include "record/kept_config.hpp"
#include "record/parent.hpp"
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

/// Reads the variables that do not grow, so that HDF5 checks their sums; of the others check_rows reads what counts.
void read_fixed(const RecordReader& file, Problems& problems) {
  for (const Variable& v : variables_of(file.kind()))
    if (growing_dimension(v).empty() && file.has(v.name))
      attempt(problems, [&] {
        for_each_piece(file.file(), v.name, 0, file.length(v.dims.front()), [](const char*, std::size_t) {});
      });
}

void check_record_file(const RecordReader& file, Problems& problems) {
  attempt(problems, [&] {
    std::set<std::string> known;
    for (const auto& d : dimensions_of(file.kind())) known.insert(d.name);
    for (const auto& v : variables_of(file.kind())) known.insert(v.name);
    for (const auto& name : file.file().datasets())
      if (!known.count(name) && !(file.kind() == FileKind::results && is_option_name(name)))
        problems.push_back(file.path() + ":" + name + " is not in the schema");
    read_fixed(file, problems);
    append(problems, check_rows(file));
  });
}

void check_tensor_file(const std::string& path, Problems& problems) {
  attempt(problems, [&] {
    const hdf5::File file = hdf5::File::open(path);
    for (const auto& name : file.datasets())
      attempt(problems, [&] {
        const auto rows = static_cast<std::int64_t>(checkpoint::check_tensor(file, name).extent[0]);
        for_each_piece(file, name, 0, rows, [](const char*, std::size_t) {});
      });
  });
}

void check_checkpoint(const std::string& folder, Problems& problems) {
  const std::string manifest = folder + "/manifest.json";
  attempt(problems, [&] {
    std::set<std::string> listed{"manifest.json"};
    for (const checkpoint::ManifestEntry& entry : checkpoint::parse_manifest(files::read_text(manifest), manifest)) {
      listed.insert(entry.name);
      if (attempt(problems, [&] { checkpoint::check_file(folder, entry); }) &&
          fs::path(entry.name).extension() == ".h5")
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

/// The steps up to which a run has rows.
struct Reach {
  std::int64_t begin;       ///< after which it began
  std::int64_t checkpoint;  ///< of the newest one
};

/// No step may be missing up to the newest row and the newest checkpoint.
void check_coverage(const std::string& run, const std::vector<Segment>& segments, const Reach& reach,
                    Problems& problems) {
  std::vector<const RecordReader*> files;
  for (const auto& segment : segments)
    if (segment.run) files.push_back(segment.run.get());
  std::int64_t next = reach.begin + 1;
  for (const Span& span : latest_rows(files, "step"))
    for (const std::int64_t step : span.file->read<std::int64_t>("step", span.first, span.count)) {
      if (step > next)
        problems.push_back(run + ": rows of steps " + std::to_string(next) + " to " + std::to_string(step - 1) +
                           " are missing");
      next = step + 1;
    }
  if (reach.checkpoint >= next)
    problems.push_back(run + ": rows of steps " + std::to_string(next) + " to " + std::to_string(reach.checkpoint) +
                       " are missing (the newest checkpoint is at the last of them)");
}

/// A checkpoint is whole once its manifest stands. An older one without may be half removed, the newest may not.
void check_newest_manifest(const std::string& run, Problems& problems) {
  const std::string newest = checkpoint::newest_folder(run);
  if (!newest.empty() && newest != checkpoint::latest_checkpoint(run))
    problems.push_back(newest + "/manifest.json is missing; remove that checkpoint, and the one before it is used");
}

/// Of what segments hold, and hold of each other.
void check_segments(const std::string& run, const Reach& reach, Problems& problems) {
  const auto segments =
      open_segments(run, [&](const std::string&, const Error& e) { problems.emplace_back(e.what()); });
  for (const Segment& segment : segments) {
    for (const auto* file : {&segment.run, &segment.evaluation})
      if (*file) check_record_file(**file, problems);
    for (const auto& file : segment.tokens) check_record_file(*file, problems);
  }
  if (!problems.empty()) return;  // laws need sound data
  attempt(problems, [&] {
    for (std::size_t i = 0; i < segments.size(); ++i) {
      const bool ended = has_ended(segments, i, reach.checkpoint);
      append(problems, check_samples(segments[i], ended));
      append(problems, check_evaluations(segments[i], ended));
    }
    check_coverage(run, segments, reach, problems);
  });
}

/// One that a job, which goes on, removed while it was read is no damage: its manifest goes first.
void check_listed_checkpoint(const std::string& folder, Problems& problems) {
  const auto gone = [&] { return files::kind_at(folder + "/manifest.json") == fs::file_type::not_found; };
  Problems found;
  try {
    check_checkpoint(folder, found);
  } catch (const std::exception&) {
    if (!gone()) throw;
  }
  if (!found.empty() && !gone()) append(problems, found);
}

/// Step after which the run began.
std::int64_t take_parent(const std::string& run, Findings& found) {
  const std::optional<Parent> parent = read_parent(run);
  if (!parent) return 0;
  if (const std::string note = parent_note(run, *parent); !note.empty()) found.notes.push_back(note);
  return parent->begins_after();
}

Findings check_run(const std::string& run) {
  Findings found;
  Problems& problems = found.problems;
  std::string note;
  attempt(problems, [&] { note = check_config(run); });
  if (!note.empty()) found.notes.push_back(note);
  const std::int64_t checkpoint = checkpoint::checkpoint_step(run);  // first: rows are written before it
  std::int64_t begin = 0;
  const bool known = attempt(problems, [&] { begin = take_parent(run, found); });
  if (known) attempt(problems, [&] { check_segments(run, {begin, checkpoint}, problems); });
  check_newest_manifest(run, problems);
  const std::string checkpoints = run + "/checkpoints";  // a run whose checkpoints lie elsewhere seems to have none
  if (files::kind_at(checkpoints) != fs::file_type::not_found &&
      files::kind_behind(checkpoints) != fs::file_type::directory)
    problems.push_back(checkpoints + " is no folder; move it away, or put the folder back");
  for (const std::string& stranger : checkpoint::strangers_of(run))
    found.notes.push_back(stranger + " is no checkpoint by its name: it is not looked at");
  for (const std::string& folder : checkpoint::list_checkpoints(run)) check_listed_checkpoint(folder, problems);
  return found;
}

bool is_tensor_file(const std::string& path) {
  const hdf5::File file = hdf5::File::open(path);
  return hdf5::has_attribute(file.id(), "schema") &&
         hdf5::text_attribute(file.id(), "schema", path) == "switchyard-checkpoint";
}

Problems check_file(const std::string& path) {
  Problems problems;
  bool tensors = false;
  if (!attempt(problems, [&] { tensors = is_tensor_file(path); })) return problems;
  if (tensors)
    check_tensor_file(path, problems);
  else
    attempt(problems, [&] { check_record_file(RecordReader(path), problems); });
  return problems;
}

/// All that is found of what lies at `path`.
Findings check_path(const std::string& path, Recorded kind) {
  if (kind == Recorded::run) return check_run(path);
  Findings found;
  if (kind == Recorded::checkpoint)
    check_checkpoint(path, found.problems);
  else
    found.problems = check_file(path);
  return found;
}

}  // namespace

Findings verify_path(const std::string& path) {
  const Recorded kind = what_is(path);
  const std::string job = in_use(path);
  Problems before;
  Findings found;
  const int times = read_again(path, [&] {
    before = std::exchange(found, check_path(path, kind)).problems;
    return found.problems.empty();
  });
  // Of a run that is being written, what is wrong may be what is being written or removed: only what stays wrong in the
  // same words is damage.
  if (times > 1)
    std::erase_if(found.problems, [&](const std::string& p) { return std::ranges::find(before, p) == before.end(); });
  if (!job.empty()) found.notes.insert(found.notes.begin(), job);
  return found;
}

}  // namespace switchyard::record
