// Quantile balancing (Su 2026, kexue.fm/archives/11619; its form in integers: torchtitan's of Kimi K3): with cutoff_t
// the largest score + bias that token t refused, expert e would have been chosen by T·k/E of the batch's T tokens with
// the bias that is the k/E quantile of cutoff_t − score_te over them. That, less its mean over experts, is the next
// bias; there is no rate. The quantile is taken of a histogram of integers, linear inside a bin.
#include <numeric>

#include "moe/balancers/balancer.hpp"
#include "moe/cutoffs.hpp"

namespace switchyard::moe {
namespace {

class QuantileBias : public Balancer {
 public:
  explicit QuantileBias(const Config& config) : moe_(config.moe), span_(config) {}

  bool has_loss() const override { return false; }
  void update(std::int64_t step, const LayerStatistics& batch, std::vector<float>& bias) const override {
    const std::int64_t total = std::accumulate(batch.assigned.begin(), batch.assigned.end(), std::int64_t{0});
    if (total == 0 || !span_.moves(step)) return;
    const double chosen = static_cast<double>(total) / static_cast<double>(bias.size());
    const std::vector<double> found = cutoff_quantiles(batch.cutoffs, cutoff_bins(bias, moe_), bias.size(), chosen);
    const double centre = mean_of(found), kept = moe_.bias_memory;
    for (std::size_t e = 0; e < bias.size(); ++e)
      bias[e] = static_cast<float>(kept * bias[e] + (1.0 - kept) * (found[e] - centre));
  }

 private:
  MoeConfig moe_;
  BiasSpan span_;
};

}  // namespace

std::unique_ptr<Balancer> make_quantile_bias(const Config& config) {
  return config.moe.bias_rule == BiasRule::quantile ? std::make_unique<QuantileBias>(config) : nullptr;
}

}  // namespace switchyard::moe
