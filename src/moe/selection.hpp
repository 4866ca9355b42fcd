// Which experts a token is sent to, and with what weights: a total order, score descending, then expert id ascending.
#pragma once
#include <cstdint>

#include "config/config.hpp"
#include "moe/scores.hpp"
#include "tensor/types.hpp"

namespace switchyard::moe {

constexpr int max_choices = 32;  ///< largest k
constexpr int max_groups = 64;   ///< all of which may be kept

/// What routing decided for N tokens, k choices each, in falling order of selection. Device memory.
struct Choice {
  Matrix<std::int32_t> expert;  ///< (N, k) different experts
  Matrix<float> weight;         ///< (N, k) combine weight, moe.scale included; not renormalised after a drop
  Matrix<std::uint8_t> kept;    ///< (N, k) 0 where dropped
};

/// Writes choice.expert and choice.weight of all tokens. Experts are ranked by score + bias(E), or by the logits where
/// there is neither bias nor group limit; weights never see the bias. margin(N) = lowest chosen minus highest refused
/// score + bias inside the kept groups (0 counts as refused where nothing is left), clamped to [0, 1].
void select(const RouterShape& shape, const Scores& scores, const Vector<float>& bias, const Choice& choice,
            const Vector<float>& margin);

/// k different experts, uniform and fixed for each token id, weight scale/k; score(N, E) = 1/k at the chosen, else 0.
/// (Seven arguments: a hash needs a key, which other rules of selection do not.) Draws are Philox(seed,
/// Purpose::router_hash, token id, block) (Roller et al. 2021, random hash).
void select_by_hash(const RouterShape& shape, std::uint64_t seed, int block, const Vector<std::int32_t>& ids,
                    const Scores& scores, const Choice& choice, const Vector<float>& margin);

}  // namespace switchyard::moe
