#include "train/finite.hpp"

#include <cmath>

#include "base/check.hpp"
#include "comm/collectives.hpp"

namespace switchyard::train {
namespace {

constexpr std::int64_t nowhere = std::int64_t{1} << 40;

/// The smallest (block, expert) found on any rank as one number; `nowhere` where no rank found one.
std::int64_t first_place(const Machine& m) {
  const auto place = m.model->first_non_finite();
  std::int64_t negated = -(place.block < 0 ? nowhere : (std::int64_t{place.block} << 20) + place.expert + 1);
  comm::all_reduce_max(m.groups.world, &negated, 1);
  return -negated;
}

std::string describe(const Machine& m, std::int64_t place) {
  if (place == nowhere) return "in the loss itself";
  const auto block = place >> 20, expert = (place & ((1 << 20) - 1)) - 1;
  std::string text = block == m.config.model.blocks ? "in the head" : "in block " + std::to_string(block);
  return expert < 0 ? text : text + ", expert " + std::to_string(expert);
}

}  // namespace

void require_finite_loss(const Machine& m, double loss, std::int64_t step) {
  if (std::isfinite(loss)) return;
  throw AgreedError(Exit::non_finite, "step " + std::to_string(step) + ": the loss is not finite, first " +
                                          describe(m, first_place(m)) +
                                          "; nothing was updated: resume from the last checkpoint with a lower "
                                          "train.learning_rate or a smaller train.clip");
}

void require_finite_gradient(const Machine&, const NormResult& norm, std::int64_t step) {
  if (std::isfinite(norm.norm)) return;
  std::string where = norm.first_parameter;
  if (norm.first_expert >= 0) where += ", expert " + std::to_string(norm.first_expert);
  throw AgreedError(Exit::non_finite, "step " + std::to_string(step) + ": the gradient is not finite, first in " +
                                          where +
                                          "; nothing was updated: resume from the last checkpoint with a lower "
                                          "train.learning_rate or a smaller train.clip");
}

}  // namespace switchyard::train
