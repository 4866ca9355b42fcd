// The segments of a run read as one: which rows hold where two segments have the same step.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "record/record_reader.hpp"

namespace switchyard::record {

/// Rows [first, first + count) of one file.
struct Span {
  const RecordReader* file;
  std::int64_t first;
  std::int64_t count;
};

/// The files of all segments of a run folder, in the order of the segments.
struct Segment {
  int number = 0;
  std::unique_ptr<RecordReader> run, evaluation;      ///< null where missing
  std::vector<std::unique_ptr<RecordReader>> tokens;  ///< one a rank, in rank order
};

/// Throws what RecordReader throws.
std::vector<Segment> open_segments(const std::string& run);
/// Paths of the HDF5 files in a segment folder, sorted.
std::vector<std::string> record_files(const std::string& segment);

/// Rows in the order of `key` (an int64 variable), the last file's row where a key occurs again.
std::vector<Span> latest_rows(const std::vector<const RecordReader*>& files, const std::string& key);
/// Blocks of one step and rank, ordered by step and sequence, each step from the last segment that has it.
std::vector<Span> latest_tokens(const std::vector<Segment>& segments);

/// What the newest run.h5 of a run says of it, for a continuation that finds no checkpoint.
struct LastRows {
  std::string config;     ///< YAML text of its attribute; empty where no segment has rows yet
  std::int64_t step = 0;  ///< the largest recorded step of all segments
};
LastRows last_rows(const std::string& run);

/// Chunks of one file after which a new segment begins, since blocks of a larger index cross pages (hdf5.cpp).
constexpr std::int64_t most_chunks = 8000;
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
