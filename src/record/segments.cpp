#include "record/segments.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <optional>
#include <tuple>

#include "base/checked.hpp"
#include "base/files.hpp"
#include "record/run_folder.hpp"

namespace switchyard::record {

std::vector<std::string> record_files(const std::string& segment) {
  std::vector<std::string> files;
  for (const auto& entry : files::entries_of(segment))
    if (entry.path().extension() == ".h5") files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

namespace {

/// What run.h5 says of its segment; intervals of 0 where nothing is due.
struct Course {
  std::int64_t begins_after = 0, evaluate_every = 0, sample_every = 0, timeline_every = 0;
};

/// Multiples of `every` in (first, last].
std::int64_t multiples(std::int64_t every, std::int64_t first, std::int64_t last) {
  return every > 0 && last > first ? last / every - first / every : 0;
}

/// Of records of earlier programs the first row tells it.
std::int64_t begin_of(const hdf5::File& run) {
  if (hdf5::has_attribute(run.id(), "begins_after")) return hdf5::int_attribute(run.id(), "begins_after", run.path());
  const OpenDataset steps(run, "step");
  std::int64_t first = 1;
  if (steps.type() == hdf5::Type::i64 && steps.row_bytes() == 8 && steps.rows() > 0) steps.read(0, 1, &first);
  return first - 1;
}

Course course_of(const hdf5::File& run) {
  const Config config = config_of(run);
  return {begin_of(run), config.train.evaluate_every, config.record.sample_every, config.record.timeline_every};
}

bool is_name_of(FileKind kind, const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  if (kind == FileKind::tokens) return name.starts_with("tokens.r");
  return name == (kind == FileKind::run ? "run.h5" : kind == FileKind::evaluation ? "evaluation.h5" : "");
}

/// What counts of a file of a segment that is superseded beyond `last`.
Limits limits_of(const hdf5::File& file, const Course& course, std::int64_t last) {
  const std::string kind = hdf5::text_attribute(file.id(), "schema", file.path());
  const std::int64_t evaluations = multiples(course.evaluate_every, course.begins_after, last);
  if (kind == schema_name(FileKind::run))
    return {{"row", std::max<std::int64_t>(0, last - course.begins_after)},
            {"evaluation", evaluations},
            {"timeline", multiples(course.timeline_every, course.begins_after, last)}};
  if (kind == schema_name(FileKind::evaluation)) return {{"evaluation", evaluations}};
  if (kind != schema_name(FileKind::tokens)) return {};
  const std::int64_t tokens = OpenDataset(file, "step").chunk_rows();  // a chunk is a sample
  return {{"sample", (Checked(multiples(course.sample_every, course.begins_after, last)) * tokens).value()}};
}

/// Opens the files of segments, the last one first, since it says what is left of those before it.
class Opener {
 public:
  Opener(const OnUnreadable& unreadable, std::int64_t last) : unreadable_(unreadable), last_(last) {}

  Segment open(const std::string& run, int number) {
    Segment segment;
    segment.number = number;
    std::optional<Course> course;
    std::vector<std::string> paths = record_files(RunFolder::segment_path(run, number));
    std::stable_partition(paths.begin(), paths.end(),
                          [](const std::string& path) { return path.ends_with("/run.h5"); });
    for (const std::string& path : paths) attempt(path, [&] { add(segment, path, course); });
    if (course) last_ = std::min(last_, course->begins_after);
    return segment;
  }

 private:
  void add(Segment& segment, const std::string& path, std::optional<Course>& course) {
    hdf5::File file = hdf5::File::open(path);
    check(hdf5::has_attribute(file.id(), "schema"), Exit::corrupt, path + " is damaged (it has no attribute schema)");
    if (path.ends_with("/run.h5")) course = course_of(file);
    const Limits limits = course && last_ != every_step ? limits_of(file, *course, last_) : Limits();
    auto reader = std::make_unique<RecordReader>(std::move(file), limits);
    check(is_name_of(reader->kind(), path), Exit::corrupt,
          path + " is damaged (it holds " + schema_name(reader->kind()) + ", which has another name)");
    if (reader->kind() == FileKind::run)
      segment.run = std::move(reader);
    else if (reader->kind() == FileKind::evaluation)
      segment.evaluation = std::move(reader);
    else
      segment.tokens.push_back(std::move(reader));
  }

  template <class Work>
  void attempt(const std::string& path, Work work) {
    try {
      work();
    } catch (const Error& e) {
      if (!unreadable_ || e.code() != Exit::corrupt) throw;
      unreadable_(path, e);
    }
  }

  const OnUnreadable& unreadable_;
  std::int64_t last_;
};

/// The last recorded step of a segment, superseded or not.
std::int64_t last_step_of(const RecordReader& run) {
  const hdf5::Extent rows = hdf5::extent_of(run.file().open_dataset("row"), run.path());
  return (Checked(begin_of(run.file())) + static_cast<std::int64_t>(rows.at(0))).value();
}

}  // namespace

std::vector<Segment> open_segments(const std::string& run, const OnUnreadable& unreadable, std::int64_t last_step) {
  const std::vector<int> numbers = RunFolder::segments(run);
  std::vector<Segment> segments;
  Opener opener(unreadable, last_step);
  for (std::size_t i = numbers.size(); i-- > 0;) segments.push_back(opener.open(run, numbers[i]));
  std::reverse(segments.begin(), segments.end());
  return segments;
}

LastRows last_rows(const std::string& run, std::int64_t after, std::int64_t begin_of_run) {
  LastRows last;
  std::int64_t covered = begin_of_run;
  const auto hole = [&](std::int64_t before) {
    if (before > covered)
      last.missing.push_back("rows of steps " + std::to_string(covered + 1) + " to " + std::to_string(before) +
                             " are missing");
  };
  const auto unreadable = [&](const std::string& path, const Error& e) {
    last.unreadable.emplace_back(path, e.what());
  };
  for (const Segment& segment : open_segments(run, unreadable, after)) {
    if (!segment.run) continue;
    const std::int64_t step = last_step_of(*segment.run), begin = begin_of(segment.run->file());
    if (step == begin) continue;
    if (const std::int64_t rows = segment.run->length("row"); rows > 0) {  // else nothing of it holds
      hole(begin);
      covered = begin + rows;
    }
    last.config = hdf5::text_attribute(segment.run->file().id(), "config", segment.run->path());
    last.step = std::max(last.step, step);
  }
  hole(after);
  return last;
}

std::string set_aside(const std::string& path) {
  for (int n = 1;; ++n) {
    const std::string name = path + (n > 1 ? ".damaged-" + std::to_string(n) : ".damaged");
    if (::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, name.c_str(), RENAME_NOREPLACE) == 0) return name;
    if (errno != EEXIST) files::throw_system_error(errno, "set aside", path);
  }
}

bool is_full(const Config& config, std::int64_t first, std::int64_t step) {
  std::int64_t every = config.record.flush_every;  // steps of a chunk of the file that has most of them
  for (const std::int64_t interval :
       {config.train.evaluate_every, config.record.sample_every, config.record.timeline_every})
    if (interval > 0) every = std::min(every, interval);
  return step % config.record.flush_every == 0 && (step + config.record.flush_every - first) / every > max_chunks;
}

std::vector<Span> latest_rows(const std::vector<const RecordReader*>& files, const std::string& key) {
  std::map<std::int64_t, std::pair<const RecordReader*, std::int64_t>> latest;
  for (const RecordReader* file : files) {
    std::int64_t rows = 0;
    for (const Variable& v : variables_of(file->kind()))
      if (key == v.name) rows = file->length(v.dims.front());
    const auto keys = file->read<std::int64_t>(key, 0, rows);
    for (std::int64_t row = 0; row < rows; ++row) latest[keys[static_cast<std::size_t>(row)]] = {file, row};
  }
  std::vector<Span> spans;
  for (const auto& [step, place] : latest) {
    const auto& [file, row] = place;
    if (!spans.empty() && spans.back().file == file && spans.back().first + spans.back().count == row)
      ++spans.back().count;
    else
      spans.push_back({file, row, 1});
  }
  return spans;
}

std::vector<TokenBlock> token_blocks(const RecordReader& file) {
  const std::int64_t rows = file.length("sample");
  const auto steps = file.read<std::int64_t>("step", 0, rows);
  std::vector<TokenBlock> blocks;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t step = steps[static_cast<std::size_t>(row)];
    if (blocks.empty() || blocks.back().step != step)
      blocks.push_back({step, file.read<std::int64_t>("sequence", row, 1)[0], {&file, row, 0}});
    ++blocks.back().rows.count;
  }
  return blocks;
}

std::vector<Span> latest_tokens(const std::vector<Segment>& segments) {
  std::map<std::int64_t, int> segment_of;  // of each step
  std::vector<std::tuple<std::int64_t, std::int64_t, int, Span>> all;
  for (const Segment& segment : segments)
    for (const auto& file : segment.tokens)
      for (const TokenBlock& block : token_blocks(*file)) {
        segment_of[block.step] = segment.number;
        all.emplace_back(block.step, block.sequence, segment.number, block.rows);
      }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return std::tie(std::get<0>(a), std::get<1>(a)) < std::tie(std::get<0>(b), std::get<1>(b));
  });
  std::vector<Span> spans;
  for (const auto& [step, sequence, segment, span] : all)
    if (segment_of[step] == segment) spans.push_back(span);
  return spans;
}

}  // namespace switchyard::record
