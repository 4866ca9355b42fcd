// evaluation.h5 of one segment: the routing of the same held-out tokens at each evaluation. Rank 0, from gathered
// vectors.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "moe/statistics.hpp"

namespace switchyard::record {

/// The held-out tokens whose routing is kept, S of them: the first of the validation split, at most 65536.
struct EvaluationTokens {
  static constexpr std::int64_t most = 65536;
  std::vector<std::int32_t> token;     ///< (S)
  std::vector<std::int32_t> next;      ///< (S)
  std::vector<std::int32_t> position;  ///< (S) in its sequence
  std::vector<std::int64_t> document;  ///< (S) −1 where unknown
  std::vector<std::int32_t> domain;    ///< (S) −1 where unknown
  std::vector<std::string> domain_names;
  std::vector<std::string> token_text;  ///< (V) cut at 16 bytes, never inside a character
};

/// One evaluation of these tokens.
struct EvaluationRouting {
  std::int64_t step = 0;                   ///< steps done
  std::vector<std::int32_t> predicted;     ///< (S) most probable next token
  std::vector<float> loss;                 ///< (S) nat
  std::vector<moe::RoutingSample> layers;  ///< (S, k) each
};

class EvaluationFile {
 public:
  EvaluationFile(const std::string& path, const Config& config, const EvaluationTokens& tokens);
  ~EvaluationFile();
  void append(const EvaluationRouting& evaluation);  ///< written and flushed at once
  void sync();                                       ///< fsync, as RunFile::sync
  void close();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// At most `bytes` bytes of UTF-8 text, cut between characters.
std::string cut_utf8(const std::string& text, std::size_t bytes);

}  // namespace switchyard::record
