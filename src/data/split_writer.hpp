// Shards and document table of one split, written while its documents come.
#pragma once
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "data/manifest.hpp"

namespace switchyard::data {

class SplitWriter {
 public:
  /// Fills `entry`, the split's part of the manifest, which must outlive the writer.
  SplitWriter(Split split, const std::string& folder, int token_bits, SplitEntry& entry);
  /// A document's tokens, its end token included. Throws what files::throw_system_error throws.
  void add(const std::vector<std::int32_t>& ids, std::int64_t text_bytes, int domain);
  void close();

 private:
  void next_shard();
  void close_shard();
  void check_written(const std::string& file);

  std::string name_, folder_;
  int bytes_;  ///< of one token
  SplitEntry& entry_;
  std::ofstream out_;
  std::vector<std::int64_t> table_;
};

}  // namespace switchyard::data
