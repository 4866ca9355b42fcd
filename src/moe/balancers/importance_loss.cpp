// The importance loss, of the masses of the global batch. cv2: variance over mean² (Shazeer et al. 2017, eq. 7,
// population variance); squared_deviation: Σ_e (mass_e / tokens − 1/E)².
#include "moe/balancers/balancer.hpp"

namespace switchyard::moe {
namespace {

double mean_square(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double v : values) sum += v * v;
  return sum / static_cast<double>(values.size());
}

double squared_variation(const std::vector<double>& mass) {
  const double mean = mean_of(mass);
  double variance = 0.0;
  for (const double m : mass) variance += (m - mean) * (m - mean);
  return variance / static_cast<double>(mass.size()) / (mean * mean);
}

double squared_deviation(const Load& load) {
  double sum = 0.0;
  for (const double mass : load.mass) {
    const double off = mass / static_cast<double>(load.tokens) - 1.0 / static_cast<double>(load.mass.size());
    sum += off * off;
  }
  return sum;
}

class ImportanceLoss : public Balancer {
 public:
  explicit ImportanceLoss(const MoeConfig& moe)
      : factor_(moe.importance_loss), cv2_(moe.importance_form == ImportanceForm::cv2) {}

  double loss(const Load& batch, double) const override {
    if (batch.tokens == 0) return 0.0;
    return factor_ * (cv2_ ? squared_variation(batch.mass) : squared_deviation(batch));
  }
  Part part() const override { return &LayerStatistics::importance_loss; }
  void add_gradient(const Load& load, double share, float* gradient) const override {
    if (load.tokens == 0) return;
    const auto experts = static_cast<double>(load.mass.size()), tokens = static_cast<double>(load.tokens);
    const double mean = mean_of(load.mass), balance = mean_square(load.mass) / mean, factor = factor_ * share;
    for (std::size_t e = 0; e < load.mass.size(); ++e) {
      const double slope = cv2_ ? 2.0 / (experts * mean * mean) * (load.mass[e] - balance)
                                : 2.0 / tokens * (load.mass[e] / tokens - 1.0 / experts);
      gradient[e] += static_cast<float>(factor * slope);
    }
  }

 private:
  double factor_;
  bool cv2_;
};

}  // namespace

std::unique_ptr<Balancer> make_importance_loss(const Config& config) {
  return config.moe.importance_loss > 0.0 ? std::make_unique<ImportanceLoss>(config.moe) : nullptr;
}

}  // namespace switchyard::moe
