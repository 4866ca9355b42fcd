// What a token's row of scores says beside its choice, a number each: of statistics, and of the bias rule quantile.
#pragma once
#include "moe/routers/scores.hpp"
#include "tensor/arena.hpp"
#include "tensor/queue.hpp"

namespace switchyard::moe {

/// Of N tokens, device.
struct TokenFacts {
  Vector<float> variance;  ///< (N) of the token's scores over the experts, population variance
  Vector<float> weight;    ///< (N) sum of its combine weights, before drops
  Vector<float> cutoff;    ///< (N) largest score + bias of an expert that it did not choose; −∞ where it chose all
};

TokenFacts make_token_facts(Arena& arena, Index tokens);

/// Replaces all of them: token_facts_host.cpp or token_facts_cuda.cpp. bias: (E).
void find_token_facts(const Queue& queue, const Choice& choice, const Matrix<float>& score, const Vector<float>& bias,
                      const TokenFacts& facts);

}  // namespace switchyard::moe
