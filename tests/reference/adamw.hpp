// AdamW in double, written as torch.optim.AdamW states it (single tensor, decoupled weight decay, no AMSGrad): what
// src/train/optimizer is compared with.
#pragma once
#include <cmath>
#include <cstdint>

#include "config/config.hpp"

namespace switchyard::reference {

struct AdamWState {
  double p = 0.0, m = 0.0, v = 0.0;
};

/// One step (the first is 1) on one element.
inline void adamw(AdamWState& s, double gradient, const TrainConfig& c, double lr, std::int64_t step, bool decay) {
  if (decay) s.p -= lr * c.weight_decay * s.p;
  s.m = c.beta1 * s.m + (1.0 - c.beta1) * gradient;
  s.v = c.beta2 * s.v + (1.0 - c.beta2) * gradient * gradient;
  const double m_hat = s.m / (1.0 - std::pow(c.beta1, static_cast<double>(step)));
  const double v_hat = s.v / (1.0 - std::pow(c.beta2, static_cast<double>(step)));
  s.p -= lr * m_hat / (std::sqrt(v_hat) + c.epsilon);
}

}  // namespace switchyard::reference
