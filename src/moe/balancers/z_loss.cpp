// The router z-loss (Zoph et al. 2022, eq. 5): ζ times the mean over tokens of the squared log-sum-exp of the logits.
#include "moe/balancers/balancer.hpp"

namespace switchyard::moe {
namespace {

class ZLoss : public Balancer {
 public:
  explicit ZLoss(const MoeConfig& moe) : factor_(moe.z_loss) {}

  double loss(const Load& batch, double) const override {
    return factor_ * batch.squares / static_cast<double>(batch.tokens);
  }
  Part part() const override { return &LayerStatistics::z_loss; }
  double lse_slope(std::int64_t batch_tokens) const override {
    return 2.0 * factor_ / static_cast<double>(batch_tokens);
  }

 private:
  double factor_;
};

}  // namespace

std::unique_ptr<Balancer> make_z_loss(const Config& config) {
  return config.moe.z_loss > 0.0 ? std::make_unique<ZLoss>(config.moe) : nullptr;
}

}  // namespace switchyard::moe
