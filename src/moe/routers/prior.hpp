// A fixed part of a learned router's logits: a normal number for each token id and expert, so that routing begins as a
// hash of the token id, which spreads like tokens over unlike experts, and is learned from there.
#pragma once
#include <cstdint>

#include "moe/routers/router.hpp"

namespace switchyard::moe {

class Prior {
 public:
  /// Of moe.router_prior; 0 is none.
  explicit Prior(const RouterContext& context);
  explicit operator bool() const { return deviation_ > 0.0f; }
  /// logits(N, E) += deviation · ε(token id, expert), ε ~ N(0, 1) from Philox(seed, Purpose::router_prior, id, expert,
  /// block).
  void add_to(const Queue& queue, const Vector<std::int32_t>& ids, const Matrix<float>& logits) const;

 private:
  std::uint64_t key_;
  std::uint32_t block_;
  float deviation_;
};

}  // namespace switchyard::moe
