#include "train/finite.hpp"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>
#include <utility>

#include "comm/collectives.hpp"

namespace switchyard::train {
namespace {

constexpr std::int64_t no_expert = std::numeric_limits<std::int32_t>::max();  // after all experts of the block
constexpr std::int64_t nowhere = std::numeric_limits<std::int64_t>::max();

/// The first place on any rank; nothing where no rank found one.
std::optional<model::Place> first_place(const Machine& m) {
  std::int64_t order = nowhere;
  if (const auto mine = m.model->first_non_finite(m.queue()))
    order = (std::int64_t{mine->block} + 1) << 32 | (mine->expert < 0 ? no_expert : mine->expert);
  order = -order;
  comm::all_reduce_max(m.groups.world, &order, 1);
  order = -order;
  if (order == nowhere) return {};
  const std::int64_t expert = order & std::numeric_limits<std::uint32_t>::max();
  return model::Place{static_cast<int>(order >> 32) - 1, expert == no_expert ? -1 : static_cast<int>(expert)};
}

std::string in_words(int block, int expert) {
  return "block " + std::to_string(block) + (expert < 0 ? "" : ", expert " + std::to_string(expert));
}

/// Block of the parameter "blocks.3.…"; −1 of any other.
int block_of(const std::string& parameter) {
  return parameter.starts_with("blocks.") ? std::atoi(parameter.c_str() + 7) : -1;
}

std::string message(const record::NonFinite& found) {
  return "step " + std::to_string(found.step) + ": the " + found.value + " is not finite (first in " + found.where +
         "; nothing was updated); start a new run with a lower train.learning_rate or a smaller train.clip";
}

}  // namespace

NonFiniteError::NonFiniteError(record::NonFinite found)
    : AgreedError(Exit::non_finite, message(found)), found_(std::move(found)) {}

void require_finite_loss(const Machine& m, double loss, std::int64_t step) {
  if (std::isfinite(loss)) return;
  const auto place = first_place(m);
  if (!place) throw NonFiniteError({step, "loss", -1, -1, "a balancing loss"});
  if (place->block < 0) throw NonFiniteError({step, "loss", -1, -1, "the embedding"});
  if (place->block == m.config.model.blocks) throw NonFiniteError({step, "loss", -1, -1, "the head"});
  throw NonFiniteError({step, "loss", place->block, place->expert, in_words(place->block, place->expert)});
}

void require_finite_gradient(const Machine&, const NormResult& norm, std::int64_t step) {
  if (std::isfinite(norm.norm)) return;
  const int block = block_of(norm.first_parameter);
  std::string where = norm.first_parameter;
  if (block >= 0) where += " of " + in_words(block, norm.first_expert);
  throw NonFiniteError({step, "gradient", block, norm.first_expert, where});
}

}  // namespace switchyard::train
