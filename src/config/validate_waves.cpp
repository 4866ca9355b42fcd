// Rules of waves: one of them goes back before the last has gone forward.
#include <bit>

#include "config/lane_choice.hpp"
#include "config/moe_layers.hpp"
#include "config/recomputation.hpp"
#include "config/rules.hpp"

namespace switchyard {
namespace {

constexpr const char* key = "layout.waves";

std::string text(std::int64_t value) { return std::to_string(value); }

/// "2 waves cannot be combined with moe.aux_loss …"
void refuse(const Config& c, const std::string& what, Rules& rules) {
  rules.require(false, key, text(c.layout.waves) + " waves cannot be combined with " + what);
}

void refuse_losses(const Config& c, Rules& rules) {
  const std::string why =
      " of the loads of the whole batch (a wave goes back before these are known); set layout.waves to 1, or ";
  if (c.moe.aux_loss > 0.0 && c.moe.aux_scope == AuxScope::batch)
    refuse(c, "moe.aux_loss" + why + "moe.aux_scope to grain or sequence, or the loss to 0", rules);
  if (c.moe.importance_loss > 0.0) refuse(c, "moe.importance_loss" + why + "the loss to 0", rules);
}

void refuse_recomputation(const Config& c, Rules& rules) {
  for (const MoeLayer& layer : moe_layers(c)) {
    if (recomputed(c, layer.block) == Recompute::none) continue;
    return refuse(c,
                  "layout.recompute " + format_value(c.layout.recompute) + " of block " + text(layer.block) +
                      " (the experts' rows of all such blocks share one memory, and are wanted until the last wave is "
                      "through); set layout.waves to 1, or leave out the block's recomputation",
                  rules);
  }
}

}  // namespace

void validate_waves(const Config& c, Rules& rules) {
  const int waves = c.layout.waves, lanes = c.layout.lanes;
  const bool power = waves >= 1 && waves <= max_lanes && std::has_single_bit(unsigned(waves));
  rules.require(power, key, "is " + text(waves) + "; must be a power of two in [1, " + text(max_lanes) + "]");
  if (!power || waves == 1) return;
  rules.require(lanes <= 0 || lanes >= waves, key,
                "is " + text(waves) + " with layout.lanes " + text(lanes) +
                    " (a wave is one lane or more); set it to at most the lanes, or have more of these");
  if (c.model.blocks > 1024 || moe_layers(c).empty()) return;
  refuse_losses(c, rules);
  refuse_recomputation(c, rules);
}

}  // namespace switchyard
