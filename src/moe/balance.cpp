#include "moe/balance.hpp"

#include <numeric>

namespace switchyard::moe {
namespace {

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double mean_square(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double v : values) sum += v * v;
  return sum / static_cast<double>(values.size());
}

}  // namespace

double switch_loss(const Load& load, int top_k) {
  if (load.tokens == 0) return 0.0;
  const auto tokens = static_cast<double>(load.tokens);
  double sum = 0.0;
  for (std::size_t e = 0; e < load.mass.size(); ++e)
    sum += static_cast<double>(load.assigned[e]) / tokens * (load.mass[e] / tokens);
  return static_cast<double>(load.mass.size()) / top_k * sum;
}

void add_switch_gradient(const Load& load, int top_k, double factor, float* gradient) {
  if (load.tokens == 0) return;
  const auto tokens = static_cast<double>(load.tokens);
  const double each = factor * static_cast<double>(load.assigned.size()) / top_k / (tokens * tokens);
  for (std::size_t e = 0; e < load.assigned.size(); ++e)
    gradient[e] += static_cast<float>(each * static_cast<double>(load.assigned[e]));
}

double importance_loss(ImportanceForm form, const Load& load) {
  if (load.tokens == 0) return 0.0;
  if (form == ImportanceForm::cv2) {
    const double mean = mean_of(load.mass);
    double variance = 0.0;
    for (const double mass : load.mass) variance += (mass - mean) * (mass - mean);
    return variance / static_cast<double>(load.mass.size()) / (mean * mean);
  }
  double sum = 0.0;
  for (const double mass : load.mass) {
    const double off = mass / static_cast<double>(load.tokens) - 1.0 / static_cast<double>(load.mass.size());
    sum += off * off;
  }
  return sum;
}

void add_importance_gradient(ImportanceForm form, const Load& load, double factor, float* gradient) {
  if (load.tokens == 0) return;
  const auto experts = static_cast<double>(load.mass.size()), tokens = static_cast<double>(load.tokens);
  const double mean = mean_of(load.mass), balance = mean_square(load.mass) / mean;
  for (std::size_t e = 0; e < load.mass.size(); ++e) {
    const double slope = form == ImportanceForm::cv2 ? 2.0 / (experts * mean * mean) * (load.mass[e] - balance)
                                                     : 2.0 / tokens * (load.mass[e] / tokens - 1.0 / experts);
    gradient[e] += static_cast<float>(factor * slope);
  }
}

void move_bias(BiasRule rule, double rate, const std::vector<std::int64_t>& assigned, std::vector<float>& bias) {
  const std::int64_t total = std::accumulate(assigned.begin(), assigned.end(), std::int64_t{0});
  const auto experts = static_cast<std::int64_t>(assigned.size());
  if (rule == BiasRule::none || total == 0) return;
  std::vector<double> step(assigned.size());
  for (std::size_t e = 0; e < assigned.size(); ++e) {
    const std::int64_t lack = total - experts * assigned[e];  // E·(mean − c), exact
    const double sign = static_cast<double>((lack > 0) - (lack < 0));
    step[e] = rate * (rule == BiasRule::proportional ? static_cast<double>(lack) / static_cast<double>(total) : sign);
  }
  const double centre = rule == BiasRule::centred_sign ? mean_of(step) : 0.0;
  for (std::size_t e = 0; e < assigned.size(); ++e) bias[e] = static_cast<float>(bias[e] + (step[e] - centre));
}

}  // namespace switchyard::moe
