// What keeps the loads of experts even: losses of the load, and steps of the selection bias. Each is a class in a file
// of its own beside this one, on small vectors on the host. It holds options only. Formulas stand in
// docs/conventions.md.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "config/config.hpp"
#include "moe/statistics.hpp"

namespace switchyard::moe {

/// Choices and sums over some tokens: a sequence, a grain or the batch.
struct Load {
  std::int64_t tokens = 0;
  std::vector<std::int64_t> assigned;  ///< (E) choices before drop
  std::vector<double> mass;            ///< (E) sum of normalised scores
  double entropy = 0.0;                ///< sum of the entropies of the normalised scores, nat
  double squares = 0.0;                ///< sum of squared log-sum-exps of the logits
  double variance = 0.0;               ///< sum of the variances of a token's scores
  double weight = 0.0;                 ///< sum of combine weights, before drop
};

/// A balancer overrides what it does; what it does not is nothing.
class Balancer {
 public:
  using Part = double LayerStatistics::*;  // nvcc reads no function of that type without a name for it
  virtual ~Balancer() = default;

  /// Whether it adds to the loss, and so needs the loads of the batch between forward and backward.
  virtual bool has_loss() const { return true; }

  /// The units whose loads its loss is of; it is the mean over them.
  virtual AuxScope scope() const { return AuxScope::batch; }
  /// Its loss of one unit inside the batch, coefficient not included; asked only where the scope is not the batch.
  virtual double unit_loss(const Load&) const { return 0.0; }
  /// Its loss, coefficient included; `unit_mean` is the mean of unit_loss where the scope is not the batch.
  virtual double loss(const Load& /*batch*/, double /*unit_mean*/) const { return 0.0; }
  /// The recorded value that the loss is added to; all of them are in the loss of the model.
  virtual Part part() const { return &LayerStatistics::aux_loss; }
  /// Adds dL/dp(E) of each token of a unit of its scope, given the unit's share of the batch's tokens. Counts are
  /// constants.
  virtual void add_gradient(const Load& /*unit*/, double /*share*/, float* /*gradient*/) const {}
  /// dL/dlse of each token by its log-sum-exp.
  virtual double lse_slope(std::int64_t /*batch_tokens*/) const { return 0.0; }
  /// After a step, the first of which is 1: moves bias(E) by what it did to the global batch, counts before drop.
  virtual void update(std::int64_t /*step*/, const LayerStatistics& /*batch*/, std::vector<float>& /*bias*/) const {}
};

/// The steps in which a rule moves the bias, and by what share of its rate: from moe.bias_from on, until
/// moe.bias_until.
class BiasSpan {
 public:
  explicit BiasSpan(const Config& config);
  bool moves(std::int64_t step) const { return step >= from_ && step < until_; }
  double share(std::int64_t step) const;

 private:
  static constexpr std::int64_t no_end = INT64_MAX;
  std::int64_t from_, until_, falls_from_ = no_end;
};

using Balancers = std::vector<std::unique_ptr<Balancer>>;

/// A balancer of the configuration; nothing where its options turn it off.
struct BalancerKind {
  const char* name;
  std::unique_ptr<Balancer> (*make)(const Config& config);
};

/// All there are, in the order in which their gradients are added.
const std::vector<BalancerKind>& balancer_kinds();

/// Whether one of them has a loss.
bool any_loss(const Balancers& balancers);

/// Those that the configuration turns on.
Balancers make_balancers(const Config& config);

// What balancer_kinds lists.
std::unique_ptr<Balancer> make_switch_loss(const Config& config);
std::unique_ptr<Balancer> make_importance_loss(const Config& config);
std::unique_ptr<Balancer> make_z_loss(const Config& config);
std::unique_ptr<Balancer> make_bias_rule(const Config& config);
std::unique_ptr<Balancer> make_quantile_bias(const Config& config);

/// Of a vector that is not empty.
double mean_of(const std::vector<double>& values);

}  // namespace switchyard::moe
