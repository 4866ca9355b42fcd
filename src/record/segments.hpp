// The segments of a run read as one: which rows hold where two segments have the same step.
#pragma once
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.hpp"
#include "config/config.hpp"
#include "record/record_reader.hpp"

namespace switchyard::record {

/// Rows [first, first + count) of one file.
struct Span {
  const RecordReader* file;
  std::int64_t first;
  std::int64_t count;
};

constexpr std::int64_t every_step = std::numeric_limits<std::int64_t>::max();

/// The files of all segments of a run folder, in the order of the segments.
struct Segment {
  int number = 0;
  std::unique_ptr<RecordReader> run, evaluation;      ///< null where missing
  std::vector<std::unique_ptr<RecordReader>> tokens;  ///< one a rank, in rank order
};

/// Takes the path and the error of a record file that cannot be opened, which is then left out.
using OnUnreadable = std::function<void(const std::string& path, const Error& error)>;
/// Of each segment the rows that hold: a segment supersedes what earlier ones have beyond the step after which it
/// begins, and of that nothing is read, since a machine that lost its power may have lost it (no checkpoint asked for
/// it to be safe). With `last_step`, a segment is expected to begin after it. Without `unreadable` throws what
/// RecordReader throws.
std::vector<Segment> open_segments(const std::string& run, const OnUnreadable& unreadable = {},
                                   std::int64_t last_step = every_step);
/// Paths of the HDF5 files in a segment folder, sorted.
std::vector<std::string> record_files(const std::string& segment);

/// Rows in the order of `key` (an int64 variable), the last file's row where a key occurs again.
std::vector<Span> latest_rows(const std::vector<const RecordReader*>& files, const std::string& key);
/// Blocks of one step and rank, ordered by step and sequence, each step from the last segment that has it.
std::vector<Span> latest_tokens(const std::vector<Segment>& segments);

/// What the record files say of a run that is to go on.
struct LastRows {
  std::string config;     ///< YAML text in the newest run.h5 that has rows; empty where none has
  std::int64_t step = 0;  ///< the largest recorded step of all segments, superseded ones too
  std::vector<std::pair<std::string, std::string>> unreadable;  ///< path, and why, of files that do not open
  std::vector<std::string> missing;  ///< "rows of steps 5 to 6 are missing", up to the step where it goes on
};
/// `after`: the step from which the run goes on; `begin`: the one after which it began, of a branch its parent's.
LastRows last_rows(const std::string& run, std::int64_t after, std::int64_t begin = 0);
/// Gives a record file that cannot be read the name PATH.damaged (.damaged-2, …) and returns it.
std::string set_aside(const std::string& path);

/// Chunks of one file after which a new segment begins, since blocks of a larger index cross pages (hdf5.cpp).
constexpr std::int64_t max_chunks = 8000;
/// Whether a segment that began after step `first` is full at `step`, a multiple of record.flush_every.
bool is_full(const Config& config, std::int64_t first, std::int64_t step);

/// Rows of one step in a tokens file: consecutive.
struct TokenBlock {
  std::int64_t step;
  std::int64_t sequence;  ///< of the first row
  Span rows;
};
std::vector<TokenBlock> token_blocks(const RecordReader& file);

}  // namespace switchyard::record
