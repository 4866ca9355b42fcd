// Which tokens a rank works on at a step: a pure function of (seed, step, sequence index).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "config/layout.hpp"
#include "data/corpus.hpp"

namespace switchyard::data {

/// The local part of a global batch: whole sequences of this rank's grains, in global order; may be empty.
struct Batch {
  std::int64_t step = 0;               ///< from 1; of a held-out batch its number, from 0
  int context = 0;                     ///< T
  Range sequences;                     ///< of the global batch, [first, last)
  std::vector<std::int32_t> tokens;    ///< (sequences, T)
  std::vector<std::int32_t> targets;   ///< (sequences, T): the next tokens
  std::vector<std::int64_t> position;  ///< (sequences): place of the first token in the split's stream
};

/// Sequence i of a split is tokens [i*T, i*T + T + 1) of its stream.
class Batches {
 public:
  /// Throws Error{usage} if a split has fewer tokens than one batch.
  Batches(const Corpus& corpus, const Config& config, const Layout& layout);
  /// Training batch of a step, which counts from 1; each epoch is a Philox permutation of the sequences.
  Batch train(std::int64_t step) const;
  /// Held-out batch i, i < evaluation_batches(); the same tokens every time.
  Batch validation(std::int64_t i) const;
  std::int64_t evaluation_batches() const { return evaluation_batches_; }
  /// Where evaluations read other than train.evaluate_tokens tokens: how many and why. Else empty.
  std::string evaluation_note() const;

 private:
  Batch fill(Split split, std::int64_t step, const std::vector<std::int64_t>& sequence) const;
  const Corpus& corpus_;
  Config config_;
  Layout layout_;
  std::int64_t train_sequences_ = 0;
  std::int64_t evaluation_batches_ = 0;
};

/// Place `i` of a pseudo-random permutation of [0, n) (Feistel network on Philox, cycle walking).
std::int64_t permute(std::uint64_t seed, std::int64_t epoch, std::int64_t i, std::int64_t n);

}  // namespace switchyard::data
