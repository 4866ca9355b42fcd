// Loss-free balancing (Wang et al. 2024): steps of the selection bias b against the pre-drop counts c of the global
// batch. With mean = Σ c / E, sign: b += u·sign(mean − c); centred_sign: that step less its mean over experts;
// proportional: b += u·(mean − c)/mean.
#include <numeric>

#include "moe/balancers/balancer.hpp"

namespace switchyard::moe {
namespace {

class LossFreeBias : public Balancer {
 public:
  explicit LossFreeBias(const MoeConfig& moe) : rule_(moe.bias_rule), rate_(moe.bias_rate), until_(moe.bias_until) {}

  bool has_loss() const override { return false; }
  void update(std::int64_t step, const std::vector<std::int64_t>& assigned, std::vector<float>& bias) const override {
    const std::int64_t total = std::accumulate(assigned.begin(), assigned.end(), std::int64_t{0});
    if (total == 0 || (until_ > 0 && step >= until_)) return;
    const auto experts = static_cast<std::int64_t>(assigned.size());
    std::vector<double> change(assigned.size());
    for (std::size_t e = 0; e < assigned.size(); ++e) {
      const std::int64_t lack = total - experts * assigned[e];  // E·(mean − c), exact
      const double sign = static_cast<double>((lack > 0) - (lack < 0));
      const bool in_proportion = rule_ == BiasRule::proportional;
      change[e] = rate_ * (in_proportion ? static_cast<double>(lack) / static_cast<double>(total) : sign);
    }
    const double centre = rule_ == BiasRule::centred_sign ? mean_of(change) : 0.0;
    for (std::size_t e = 0; e < assigned.size(); ++e) bias[e] = static_cast<float>(bias[e] + (change[e] - centre));
  }

 private:
  BiasRule rule_;
  double rate_;
  std::int64_t until_;
};

}  // namespace

std::unique_ptr<Balancer> make_bias_rule(const MoeConfig& moe) {
  return moe.bias_rule != BiasRule::none ? std::make_unique<LossFreeBias>(moe) : nullptr;
}

}  // namespace switchyard::moe
