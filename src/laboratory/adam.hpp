// AdamW (Loshchilov & Hutter 2019), β = 0.9 and 0.999, ε = 1e-8; weight decay 0 makes it Adam.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

namespace switchyard::laboratory {

template <class Real>
class Adam {
 public:
  explicit Adam(std::size_t parameters) : mean_(parameters, Real(0)), square_(parameters, Real(0)) {}

  /// One step on weights with the gradient scale · g.
  void step(std::vector<Real>& weights, const std::vector<Real>& g, double scale, double rate, double decay) {
    ++steps_;
    const Real a = Real(0.9), b = Real(0.999), s = static_cast<Real>(scale), rest = static_cast<Real>(1 - rate * decay);
    const Real first = static_cast<Real>(rate / (1 - std::pow(0.9, steps_)));
    const Real second = static_cast<Real>(1 / std::sqrt(1 - std::pow(0.999, steps_)));
    Real *w = weights.data(), *m = mean_.data(), *v = square_.data();
    for (std::size_t i = 0; i < mean_.size(); ++i) {
      const Real slope = s * g[i];
      m[i] = a * m[i] + (Real(1) - a) * slope;
      v[i] = b * v[i] + (Real(1) - b) * slope * slope;
      w[i] = rest * w[i] - first * m[i] / (std::sqrt(v[i]) * second + Real(1e-8));
    }
  }

 private:
  std::vector<Real> mean_, square_;
  int steps_ = 0;
};

/// Factor of the learning rate after a share `progress` of the training: 1, and from the middle on down to 0.
inline double annealed(double progress) { return std::min(1.0, 2.0 * (1.0 - progress)); }

}  // namespace switchyard::laboratory
