// The laws of what ranks send each other, in run.h5 of version 5 and later.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "record/row_blocks.hpp"

namespace switchyard::record {

/// Of row r of a block of steps; adds what is wrong, after `where`.
void check_communication(const RowBlocks& block, std::int64_t r, const std::string& where,
                         std::vector<std::string>& problems);

/// Likewise, of files that have seconds by purpose.
void check_purposes(const RowBlocks& block, std::int64_t r, const std::string& where,
                    std::vector<std::string>& problems);

/// The purposes and hops that a file of version 5 or later names must be the program's own for its tasks.
void check_names(const RecordReader& file, std::vector<std::string>& problems);

/// Rows of a variable of integers, asked for in ascending order and read in pieces of moderate size.
class StepRows {
 public:
  StepRows(const RecordReader& file, const std::string& name) : dataset_(file.open(name)), rows_(file.length("row")) {}
  std::vector<std::int64_t> row(std::int64_t r);

 private:
  OpenDataset dataset_;
  std::int64_t rows_;  ///< that count
  std::int64_t first_ = 0;
  std::vector<std::int64_t> values_;  ///< of rows from `first_` on
};

/// What a file of version 5 says of its ranks and hops, to hold its timelines against its steps.
class TimelineLaws {
 public:
  explicit TimelineLaws(const RecordReader& file);
  /// Of row r of a block of timelines; adds what is wrong, after `where`. Where the row of its step is not in the file,
  /// as after a kill, it is not compared with it.
  void check(const RowBlocks& block, std::int64_t r, const std::string& where, std::vector<std::string>& problems);

 private:
  /// What the row of the step has of a variable; nothing where it is not in the file.
  std::vector<std::int64_t> row_of_step(const char* name, std::int64_t step);
  bool hops_within_steps(const RowBlocks& block, std::int64_t r) const;
  void check_hop_bytes(const RowBlocks& block, std::int64_t r, const std::vector<std::int64_t>& sent,
                       const std::string& where, std::vector<std::string>& problems) const;
  void check_pairs(const RowBlocks& block, std::int64_t r, const char* unit, const std::string& where,
                   std::vector<std::string>& problems);
  void check_rows(const RowBlocks& block, std::int64_t r, const std::string& where, std::vector<std::string>& problems);

  const RecordReader& file_;
  std::map<std::string, StepRows> steps_;  ///< of each variable that was asked for
  std::vector<std::int32_t> node_;         ///< (ranks)
  std::vector<std::size_t> purpose_;       ///< (hops)
  bool rows_travel_;                       ///< not in a model without experts
  std::int64_t row_bytes_ = 0;             ///< of a row where rows go straight; 0 where they do not
  std::size_t team_ = 1;                   ///< ranks that share experts
};

}  // namespace switchyard::record
