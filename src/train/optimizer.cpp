#include "train/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "train/schedule.hpp"

namespace switchyard::train {

AdamW adamw_scalars(const TrainConfig& c, const Update& update, bool decay) {
  const double correction1 = 1.0 - std::pow(c.beta1, static_cast<double>(update.step));
  const double correction2 = 1.0 - std::pow(c.beta2, static_cast<double>(update.step));
  return {.clip = static_cast<float>(update.clip_factor),
          .keep = static_cast<float>(decay ? 1.0 - update.learning_rate * c.weight_decay : 1.0),
          .beta2 = static_cast<float>(c.beta2),
          .one_minus_beta1 = static_cast<float>(1.0 - c.beta1),
          .one_minus_beta2 = static_cast<float>(1.0 - c.beta2),
          .step_size = static_cast<float>(update.learning_rate / correction1),
          .root_scale = static_cast<float>(1.0 / std::sqrt(correction2)),
          .epsilon = std::max(static_cast<float>(c.epsilon), std::numeric_limits<float>::denorm_min())};
}

KindScalars kind_scalars(const TrainConfig& config, const Update& update) {
  Update of_routers = update;
  of_routers.learning_rate *= router_share(config, update.step);
  return {adamw_scalars(config, update, false), adamw_scalars(config, update, true),
          adamw_scalars(config, of_routers, true)};
}

}  // namespace switchyard::train
