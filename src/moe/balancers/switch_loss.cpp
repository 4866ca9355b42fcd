// The auxiliary loss of the Switch Transformer (Fedus et al. 2021, eq. 4, up to Σ_i f_i = k): α·(E/k) Σ f_i P_i with
// f_i = assigned_i / tokens, P_i = mass_i / tokens; α where loads and scores are even, for every k.
#include "moe/balancers/balancer.hpp"

namespace switchyard::moe {
namespace {

class SwitchLoss : public Balancer {
 public:
  explicit SwitchLoss(const MoeConfig& moe) : factor_(moe.aux_loss), scope_(moe.aux_scope), top_k_(moe.top_k) {}

  AuxScope scope() const override { return scope_; }
  double unit_loss(const Load& load) const override {
    if (load.tokens == 0) return 0.0;
    const auto tokens = static_cast<double>(load.tokens);
    double sum = 0.0;
    for (std::size_t e = 0; e < load.mass.size(); ++e)
      sum += static_cast<double>(load.assigned[e]) / tokens * (load.mass[e] / tokens);
    return static_cast<double>(load.mass.size()) / top_k_ * sum;
  }
  double loss(const Load& batch, double unit_mean) const override {
    return factor_ * (scope_ == AuxScope::batch ? unit_loss(batch) : unit_mean);
  }
  void add_gradient(const Load& load, double share, float* gradient) const override {
    if (load.tokens == 0) return;
    const auto tokens = static_cast<double>(load.tokens);
    const double each = factor_ * share * static_cast<double>(load.assigned.size()) / top_k_ / (tokens * tokens);
    for (std::size_t e = 0; e < load.assigned.size(); ++e)
      gradient[e] += static_cast<float>(each * static_cast<double>(load.assigned[e]));
  }

 private:
  double factor_;
  AuxScope scope_;
  int top_k_;
};

}  // namespace

std::unique_ptr<Balancer> make_switch_loss(const Config& config) {
  return config.moe.aux_loss > 0.0 ? std::make_unique<SwitchLoss>(config.moe) : nullptr;
}

}  // namespace switchyard::moe
