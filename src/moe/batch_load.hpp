// The load of the global batch: statistics summed over ranks with the same bits on any layout, losses, and what the
// losses ask of each token's scores.
#pragma once
#include <vector>

#include "comm/joint_sum.hpp"
#include "moe/balance.hpp"
#include "moe/layer.hpp"
#include "moe/tally.hpp"
#include "tensor/room.hpp"

namespace switchyard::moe {

class BatchLoad {
 public:
  /// Adds what `tally` holds of a pass to a sum over the global batch: integers, and sums over tokens, which are a
  /// chain per sequence, a chain over the sequences of a grain, and the tree over grains.
  void offer(const Config& config, const Tally& tally, Index grain_tokens, comm::JointSum& sum);
  /// Statistics of that pass from the finished sum; block, bias and traffic are left to the caller.
  LayerStatistics take(const Config& config, const comm::JointSum& sum);

  /// Tokens of the global batch.
  std::int64_t tokens() const { return batch_.tokens; }

  /// values(units, E): dL/dp of the balancing losses for the tokens of each unit of moe.aux_scope on this rank.
  struct Coefficients {
    Matrix<float> values;  ///< valid until the next call
    Index unit_tokens;
  };
  Coefficients coefficients(const MoeConfig& moe, const RouterShape& shape);

 private:
  void load(const Tally& tally, Index grain_tokens);
  std::vector<double> grain_sums(const Config& config) const;

  std::vector<Load> sequences_, grains_;  ///< of this rank
  std::vector<double> sums_;              ///< (local grains, 2) entropy and squared log-sum-exp
  comm::JointSum::Place place_{};
  Staged<float> coefficients_;
  Load batch_;
};

}  // namespace switchyard::moe
