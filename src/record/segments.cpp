#include "record/segments.hpp"

#include <algorithm>
#include <map>
#include <tuple>

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

std::vector<Segment> open_segments(const std::string& run) {
  std::vector<Segment> segments;
  for (int number = 0; number < RunFolder::count_segments(run); ++number) {
    Segment segment;
    segment.number = number;
    for (const std::string& path : record_files(RunFolder::segment_path(run, number))) {
      auto file = std::make_unique<RecordReader>(path);
      if (file->kind() == FileKind::run)
        segment.run = std::move(file);
      else if (file->kind() == FileKind::evaluation)
        segment.evaluation = std::move(file);
      else
        segment.tokens.push_back(std::move(file));
    }
    segments.push_back(std::move(segment));
  }
  return segments;
}

LastRows last_rows(const std::string& run) {
  LastRows last;
  for (const Segment& segment : open_segments(run)) {
    if (!segment.run) continue;
    const std::int64_t rows = segment.run->length("row");
    if (rows == 0) continue;
    last.config = h5::text_attribute(segment.run->file().id(), "config", segment.run->path());
    last.step = std::max(last.step, segment.run->read<std::int64_t>("step", rows - 1, 1).front());
  }
  return last;
}

bool is_full(const Config& config, std::int64_t first, std::int64_t step) {
  std::int64_t every = config.record.flush_every;  // steps of a chunk of the file that has most of them
  for (const std::int64_t interval : {config.train.evaluate_every, config.record.sample_every})
    if (interval > 0) every = std::min(every, interval);
  return step % config.record.flush_every == 0 && (step + config.record.flush_every - first) / every > most_chunks;
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
