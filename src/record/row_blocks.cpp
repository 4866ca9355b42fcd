#include "record/row_blocks.hpp"

#include "base/check.hpp"

namespace switchyard::record {

RowBlocks::RowBlocks(const RecordReader& file, const std::string& dimension)
    : path_(file.path()), length_(file.length(dimension)) {
  std::int64_t bytes = 0, chunk = 1;
  for (const Variable& v : variables_of(file.kind())) {
    if (growing_dimension(v) != dimension || !file.has(v.name)) continue;
    const Part& part = parts_.emplace(v.name, Part{file.open(v.name), {}}).first->second;
    bytes += part.dataset.row_bytes();
    chunk = std::max(chunk, part.dataset.chunk_rows());
  }
  piece_ = std::min(rows_of_piece(chunk, bytes), length_);
  for (auto& [name, part] : parts_) part.bytes.resize(static_cast<std::size_t>(piece_ * part.dataset.row_bytes()));
}

bool RowBlocks::next() {
  first_ += rows_;
  rows_ = std::min(piece_, length_ - first_);
  for (auto& [name, part] : parts_)
    if (rows_ > 0) part.dataset.read(first_, rows_, part.bytes.data());
  return rows_ > 0;
}

const RowBlocks::Part& RowBlocks::part_of(const char* variable) const {
  const auto part = parts_.find(variable);
  if (part == parts_.end()) throw Error(Exit::corrupt, path_ + ":" + variable + " is missing");
  return part->second;
}

}  // namespace switchyard::record
