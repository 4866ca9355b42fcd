#include "laboratory/mlp.hpp"

#include <array>

#include "laboratory/random.hpp"
#include "tensor/math.hpp"

namespace switchyard::laboratory {
namespace {

float exponential(float x) { return fast_exp(x); }
double exponential(double x) { return std::exp(x); }

/// Eight running sums, so that the loop vectorises.
template <class Real>
Real dot(const Real* a, const Real* b, std::size_t n) {
  std::array<Real, 8> sums{};
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (std::size_t j = 0; j < 8; ++j) sums[j] += a[i + j] * b[i + j];
  for (; i < n; ++i) sums[0] += a[i] * b[i];
  Real sum = 0;
  for (const Real s : sums) sum += s;
  return sum;
}

/// y += c · x.
template <class Real>
void add_scaled(Real* y, Real c, const Real* x, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) y[i] += c * x[i];
}

}  // namespace

template <class Real>
Mlp<Real>::Mlp(MlpShape shape, std::uint64_t seed, int expert)
    : shape_(shape),
      threshold_(static_cast<std::size_t>(shape.in) * static_cast<std::size_t>(shape.hidden)),
      second_(threshold_ + static_cast<std::size_t>(shape.hidden)),
      weights_(static_cast<std::size_t>(shape.parameters()), Real(0)),
      gradient_(weights_.size(), Real(0)),
      hidden_(static_cast<std::size_t>(shape.hidden)),
      logits_(static_cast<std::size_t>(shape.out)),
      share_(logits_.size()),
      adam_(weights_.size()) {
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    if (i >= threshold_ && i < second_) continue;
    const double deviation = std::sqrt(i < threshold_ ? 2.0 / shape.in : 1.0 / shape.hidden);
    weights_[i] = static_cast<Real>(
        deviation * normal(seed, Draw::weight, static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(expert), 0));
  }
}

template <class Real>
void Mlp<Real>::forward(const Real* x, Real* hidden, Real* logits) const {
  const std::size_t h = hidden_.size(), v = logits_.size();
  const Real* w = weights_.data();
  std::copy_n(w + threshold_, h, hidden);
  for (std::size_t i = 0; i < static_cast<std::size_t>(shape_.in); ++i)
    if (x[i] != Real(0)) add_scaled(hidden, x[i], w + i * h, h);
  std::fill_n(logits, v, Real(0));
  for (std::size_t j = 0; j < h; ++j) {
    hidden[j] = std::max(hidden[j], Real(0));
    add_scaled(logits, hidden[j], w + second_ + j * v, v);
  }
}

template <class Real>
Real Mlp<Real>::add(const Real* x, int answer, Real gate) {
  const std::size_t h = hidden_.size(), v = logits_.size();
  forward(x, hidden_.data(), logits_.data());
  const Real max = *std::max_element(logits_.begin(), logits_.end());  // gates are positive
  for (std::size_t a = 0; a < v; ++a) share_[a] = exponential(gate * (logits_[a] - max));
  Real sum = 0;
  for (const Real s : share_) sum += s;
  for (Real& s : share_) s *= Real(1) / sum;
  share_[static_cast<std::size_t>(answer)] -= Real(1);
  const Real slope = dot(share_.data(), logits_.data(), v);
  for (Real& s : share_) s *= gate;
  Real *g = gradient_.data(), *threshold = g + threshold_;
  for (std::size_t j = 0; j < h; ++j) {
    const bool on = hidden_[j] > Real(0);
    if (on) add_scaled(g + second_ + j * v, hidden_[j], share_.data(), v);
    hidden_[j] = on ? dot(share_.data(), weights_.data() + second_ + j * v, v) : Real(0);  // now its gradient
    threshold[j] += hidden_[j];
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(shape_.in); ++i)
    if (x[i] != Real(0)) add_scaled(g + i * h, x[i], hidden_.data(), h);
  ++samples_;
  return slope;
}

template <class Real>
void Mlp<Real>::update(double rate, double decay) {
  if (samples_ == 0) return;
  adam_.step(weights_, gradient_, 1.0 / samples_, rate, decay);
  std::fill(gradient_.begin(), gradient_.end(), Real(0));
  samples_ = 0;
}

template <class Real>
double Mlp<Real>::loss(const Real* x, int answer) const {
  std::vector<Real> hidden(hidden_.size()), logits(logits_.size());
  forward(x, hidden.data(), logits.data());
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const Real z : logits) sum += std::exp(z - max);
  return max + std::log(sum) - logits[static_cast<std::size_t>(answer)];
}

template class Mlp<float>;
template class Mlp<double>;

}  // namespace switchyard::laboratory
