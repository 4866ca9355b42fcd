// Loss-free balancing: steps of the selection bias b against the pre-drop counts c of the global batch (Wang et al.
// 2024). With mean = Σ c / E, sign: b += u·sign(mean − c); centred_sign: that step less its mean over experts;
// proportional: b += u·(mean − c)/mean.
#include <numeric>

#include "moe/balancers/balancer.hpp"

namespace switchyard::moe {

BiasSpan::BiasSpan(const Config& config)
    : from_(config.moe.bias_from), until_(config.moe.bias_until > 0 ? config.moe.bias_until : no_end) {
  if (config.moe.bias_schedule == BiasSchedule::inverse) falls_from_ = from_ + (until_ - from_) / 2;
}

double BiasSpan::share(std::int64_t step) const {
  if (step <= falls_from_) return 1.0;
  return static_cast<double>(falls_from_ - from_ + 1) / static_cast<double>(step - from_ + 1);
}

namespace {

class LossFreeBias : public Balancer {
 public:
  explicit LossFreeBias(const Config& config)
      : rule_(config.moe.bias_rule),
        rate_(config.moe.bias_rate),
        by_spread_(config.moe.bias_unit == BiasUnit::spread),
        span_(config) {}

  bool has_loss() const override { return false; }
  void update(std::int64_t step, const LayerStatistics& batch, std::vector<float>& bias) const override {
    const std::vector<std::int64_t>& assigned = batch.assigned;
    const std::int64_t total = std::accumulate(assigned.begin(), assigned.end(), std::int64_t{0});
    if (total == 0 || !span_.moves(step)) return;
    const double rate = rate_ * (by_spread_ ? batch.score_spread : 1.0) * span_.share(step);
    const auto experts = static_cast<std::int64_t>(assigned.size());
    std::vector<double> change(assigned.size());
    for (std::size_t e = 0; e < assigned.size(); ++e) {
      const std::int64_t lack = total - experts * assigned[e];  // E·(mean − c), exact
      const double sign = static_cast<double>((lack > 0) - (lack < 0));
      const bool in_proportion = rule_ == BiasRule::proportional;
      change[e] = rate * (in_proportion ? static_cast<double>(lack) / static_cast<double>(total) : sign);
    }
    const double centre = rule_ == BiasRule::centred_sign ? mean_of(change) : 0.0;
    for (std::size_t e = 0; e < assigned.size(); ++e) bias[e] = static_cast<float>(bias[e] + (change[e] - centre));
  }

 private:
  BiasRule rule_;
  double rate_;
  bool by_spread_;
  BiasSpan span_;
};

}  // namespace

std::unique_ptr<Balancer> make_bias_rule(const Config& config) {
  const BiasRule rule = config.moe.bias_rule;
  if (rule == BiasRule::none || rule == BiasRule::quantile) return nullptr;
  return std::make_unique<LossFreeBias>(config);
}

}  // namespace switchyard::moe
