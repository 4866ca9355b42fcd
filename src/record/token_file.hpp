// tokens.rNNNN.h5 of one segment and rank: the routing of every token of the sampled steps.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "data/batch.hpp"
#include "moe/statistics.hpp"

namespace switchyard::record {

class TokenFile {
 public:
  /// `local_tokens` > 0: tokens of this rank in one step; a rank without tokens has no file.
  TokenFile(const std::string& path, const Config& config, std::int64_t local_tokens);
  ~TokenFile();
  /// One sampled step (`step` counts this one too), one sample a mixture-of-experts layer; written and flushed at once.
  void append(std::int64_t step, const data::Batch& batch, const std::vector<moe::RoutingSample>& layers);
  void sync();  ///< fsync, as RunFile::sync
  void close();

  /// "tokens.r0003.h5"
  static std::string name(int rank);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace switchyard::record
