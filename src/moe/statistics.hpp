// What routing did in one layer of one step: integers taken at the routing decision, once (contract C2).
#pragma once
#include <cstdint>
#include <vector>

namespace switchyard::moe {

/// Of the global batch, the same on every rank once reduced.
struct LayerStatistics {
  int block = 0;                       ///< which transformer block
  int experts = 0;                     ///< E
  std::vector<std::int64_t> assigned;  ///< (E) rows chosen, before drop; sums to T*k
  std::vector<std::int64_t> kept;      ///< (E) rows after drop
  std::vector<double> prob_mass;       ///< (E) sum over tokens of the normalised score
  std::vector<float> bias;             ///< (E) selection bias used in this step
  std::vector<std::int64_t> margin;    ///< (bins) of last chosen minus first refused score, over [0, 1]
  double entropy = 0.0;                ///< mean over tokens of the normalised scores' entropy, nat
  double score_spread = 0.0;           ///< √ of the mean over tokens of the variance of their scores over experts
  double mean_weight = 0.0;            ///< mean combine weight of a choice, before drop
  double aux_loss = 0.0;               ///< coefficient included
  double importance_loss = 0.0;        ///< coefficient included
  double z_loss = 0.0;                 ///< coefficient included
  std::vector<std::int64_t> cutoffs;   ///< (E, bins) cutoffs.hpp; empty where no bias rule asks for them
  /// (ranks) rows this rank sent to each world rank at dispatch, itself included; layout scope, not reduced.
  std::vector<std::int64_t> traffic;
};

/// Routing of one pass on this rank, for samples: host copies.
struct RoutingSample {
  std::vector<std::int32_t> experts;  ///< (N, k)
  std::vector<float> weights;         ///< (N, k) combine weights
  std::vector<std::uint8_t> kept;     ///< (N, k) 0 where dropped
};

/// (max_i c_i − mean) / mean of pre-drop counts.
double max_vio(const std::vector<std::int64_t>& assigned);

/// Dropped choices by all; 0 where nothing is assigned.
double drop_share(const std::vector<std::int64_t>& assigned, const std::vector<std::int64_t>& kept);

/// What max_vio would be on average if each of `tokens` chose k of E experts uniformly at random: the sampling floor,
/// within 3 % of simulation.
double max_vio_floor(std::int64_t tokens, int top_k, int experts);

}  // namespace switchyard::moe
