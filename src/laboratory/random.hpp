// Random numbers of the laboratory: pure functions of a seed, of what they are drawn for, and of a counter.
#pragma once
#include <cstdint>
#include <vector>

#include "base/philox.hpp"

namespace switchyard::laboratory {

/// What a number is drawn for; the last word of the counter.
enum class Draw : std::uint32_t { map = 1, sample, permutation, weight, router, fact_key, fact_answer };

Philox block(std::uint64_t seed, Draw purpose, std::uint32_t a, std::uint32_t b = 0, std::uint32_t c = 0);

/// In [0, n) without bias worth naming: n is far below 2^32.
int below(std::uint32_t bits, int n);
/// In (0, 1).
double unit(std::uint32_t bits);
/// Standard normal number i of stream (b, c), by Box-Muller.
double normal(std::uint64_t seed, Draw purpose, std::uint32_t i, std::uint32_t b, std::uint32_t c);
/// 0 … n − 1 in the drawn order of stream (b, c), by Fisher-Yates.
std::vector<int> permutation(int n, std::uint64_t seed, std::uint32_t b = 0, std::uint32_t c = 0);

}  // namespace switchyard::laboratory
