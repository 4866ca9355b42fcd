// What keeps loads even: balancing losses and their gradients by the scores, and the loss-free selection bias.
// Small vectors on the host; formulas and conventions in docs/conventions.md.
#pragma once
#include <cstdint>
#include <vector>

#include "config/config.hpp"

namespace switchyard::moe {

/// Choices and scores of some tokens: a sequence, a grain or the batch.
struct Load {
  std::int64_t tokens = 0;
  std::vector<std::int64_t> assigned;  ///< (E) choices before drop
  std::vector<double> mass;            ///< (E) sum of normalised scores
};

/// (E/k) Σ f_i P_i with f_i = assigned_i / tokens, P_i = mass_i / tokens; 1 where loads and scores are even, for every
/// k. Up to Σ_i f_i = k this is Fedus et al. 2021, eq. 4.
double switch_loss(const Load& load, int top_k);

/// Adds factor · d switch_loss / d p_e of each of its tokens to gradient(E); counts are constants.
void add_switch_gradient(const Load& load, int top_k, double factor, float* gradient);

/// cv2: variance over mean² of the masses (Shazeer et al. 2017, eq. 7, population variance).
/// squared_deviation: Σ_e (mass_e / tokens − 1/E)².
double importance_loss(ImportanceForm form, const Load& load);

/// Adds factor · d importance_loss / d p_e of each token to gradient(E).
void add_importance_gradient(ImportanceForm form, const Load& load, double factor, float* gradient);

/// Moves bias(E) by the pre-drop counts of a global batch (Wang et al. 2024): with mean = Σ assigned / E,
/// sign: b += u·sign(mean − c); centred_sign: that step less its mean over experts; proportional: u·(mean − c)/mean.
void move_bias(BiasRule rule, double rate, const std::vector<std::int64_t>& assigned, std::vector<float>& bias);

}  // namespace switchyard::moe
