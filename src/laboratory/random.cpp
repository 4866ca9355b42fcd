#include "laboratory/random.hpp"

#include <cmath>
#include <numeric>
#include <utility>

namespace switchyard::laboratory {

Philox block(std::uint64_t seed, Draw purpose, std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  return philox(stream_key(seed, Purpose::laboratory), {{a, b, c, static_cast<std::uint32_t>(purpose)}});
}

int below(std::uint32_t bits, int n) {
  return static_cast<int>((std::uint64_t{bits} * static_cast<std::uint64_t>(n)) >> 32);
}

double unit(std::uint32_t bits) { return (bits + 0.5) / 4294967296.0; }

double normal(std::uint64_t seed, Draw purpose, std::uint32_t i, std::uint32_t b, std::uint32_t c) {
  const Philox bits = block(seed, purpose, i, b, c);
  return std::sqrt(-2.0 * std::log(unit(bits.v[0]))) * std::cos(6.283185307179586 * unit(bits.v[1]));
}

std::vector<int> permutation(int n, std::uint64_t seed, std::uint32_t b, std::uint32_t c) {
  std::vector<int> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = order.size(); i > 1; --i) {
    const Philox bits = block(seed, Draw::permutation, static_cast<std::uint32_t>(i), b, c);
    std::swap(order[i - 1], order[static_cast<std::size_t>(below(bits.v[0], static_cast<int>(i)))]);
  }
  return order;
}

}  // namespace switchyard::laboratory
