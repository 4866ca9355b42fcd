// The load of the global batch: statistics summed over ranks with the same bits on any layout, losses, and what the
// losses ask of each token's scores.
#pragma once
#include <vector>

#include "comm/joint_sum.hpp"
#include "config/config.hpp"
#include "moe/balancers/balancer.hpp"
#include "moe/tally.hpp"
#include "tensor/room.hpp"

namespace switchyard::moe {

class BatchLoad {
 public:
  /// Of a pass of `rows` through a layer of `experts`.
  BatchLoad(Arena& arena, const Config& config, const nn::Rows& rows, int experts);
  /// Adds what `tally` holds of a pass to a sum over the global batch: integers, and sums over tokens, which are a
  /// chain per sequence, a chain over the sequences of a grain, and the tree over grains.
  void offer(const Queue& queue, const Balancers& balancers, const Tally& tally, Index grain_tokens,
             comm::JointSum& sum);
  /// Statistics of that pass from the finished sum; block, bias and traffic are left to the caller.
  LayerStatistics take(const Config& config, const Balancers& balancers, const comm::JointSum& sum);

  /// What the balancers' losses ask of the tokens of this rank, which is not without.
  struct Gradient {
    Matrix<float> coefficients;  ///< (units, E) dL/dp of each token of a unit, which is the smallest of all scopes;
                                 ///< valid until the next call
    Index unit_tokens;
    float z;  ///< dL/dlse of each token by its log-sum-exp
  };
  Gradient gradient(const Queue& queue, const Balancers& balancers);

 private:
  void load(const Queue& queue, const Tally& tally, Index grain_tokens);
  double unit_losses(const Balancer& balancer, std::size_t g) const;
  std::vector<double> grain_sums(const Balancers& balancers) const;
  const Load& unit(AuxScope scope, AuxScope smallest, std::size_t u) const;

  std::vector<Load> sequences_, grains_;  ///< of this rank
  comm::JointSum::Place place_{};
  Staged<float> coefficients_;
  Load batch_;
};

}  // namespace switchyard::moe
