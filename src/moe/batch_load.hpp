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

/// What a rank adds to the sum over the global batch (comm::JointSum::add).
struct RankLoad {
  std::vector<std::int64_t> counts;
  std::vector<double> grains;  ///< (grains, values)
  std::size_t values = 0;
};

class BatchLoad {
 public:
  /// Of what `tally` holds of a pass of `rows`, which are those of a lane.
  BatchLoad(Arena& arena, const Config& config, const nn::Rows& rows, const Tally& tally);
  /// Asks for what add_to and take_own read of the device, which do so themselves if nobody has; the caller waits.
  void ask(const Queue& queue);
  void is_asked() { asked_ = true; }
  /// Adds the lane's part to that of the lanes before: integers, and sums over tokens, which are those of each
  /// sequence, a chain over the sequences of a grain, and the tree over grains.
  void add_to(RankLoad& all, const Queue& queue, const Balancers& balancers);
  /// Where the sum is going to be.
  void await(const comm::JointSum::Place& place) { place_ = place; }
  /// Statistics of that pass from the finished sum; block, bias and traffic are left to the caller.
  LayerStatistics take(const Config& config, const Balancers& balancers, const comm::JointSum& sum);

  /// What of it a lane knows by itself, after a forward pass; enough for losses of units inside the batch.
  void take_own(const Config& config, const Queue& queue);

  /// What the balancers' losses ask of the tokens of this rank, which is not without.
  struct Gradient {
    Matrix<float> coefficients;  ///< (units, E) dL/dp of each token of a unit, which is the smallest of all scopes;
                                 ///< valid until the next call
    Index unit_tokens;
    float z;  ///< dL/dlse of each token by its log-sum-exp
  };
  Gradient gradient(const Queue& queue, const Balancers& balancers);

 private:
  /// What the host reads of a tally.
  struct Copies {
    Twin<Matrix<std::int32_t>> assigned, kept, margin, cutoffs;
    Twin<Matrix<double>> mass, sums;
  };
  std::vector<std::int64_t> load(const Queue& queue);
  double unit_losses(const Balancer& balancer, std::size_t g) const;
  std::vector<double> grain_sums(const Balancers& balancers) const;
  const Load& unit(AuxScope scope, AuxScope smallest, std::size_t u) const;

  Copies tally_;
  Index grain_sequences_, context_, tokens_;  ///< tokens of this rank and lane
  std::vector<Load> sequences_, grains_;      ///< of this rank
  comm::JointSum::Place place_{};
  Staged<float> coefficients_;
  Load batch_;
  bool asked_ = false;
};

}  // namespace switchyard::moe
