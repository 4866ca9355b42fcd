// AdamW with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2; the form of torch.optim.AdamW).
#pragma once
#include <array>
#include <cstdint>

#include "config/config.hpp"
#include "train/norm.hpp"
#include "train/reduce.hpp"
#include "train/update_blocks.hpp"

namespace switchyard::train {

/// Scalars of one update, rounded once from double.
struct AdamW {
  float clip;  ///< factor on every gradient
  float keep;  ///< 1 − lr·weight_decay
  float beta2;
  float one_minus_beta1;
  float one_minus_beta2;
  float step_size;   ///< lr / (1 − beta1^step)
  float root_scale;  ///< 1 / √(1 − beta2^step)
  float epsilon;     ///< above 0, so that an element that has had no gradient is not 0/0
};

/// g ← clip·g; m ← m + (1−β1)(g − m); v ← β2·v + (1−β2)·g²; p ← keep·p − step_size·m / (√v·root_scale + ε).
KOKKOS_INLINE_FUNCTION void adamw_element(const AdamW& a, float gradient, float& p, float& m, float& v) {
  const float g = a.clip * gradient;
  m = Kokkos::fma(a.one_minus_beta1, g - m, m);
  v = Kokkos::fma(a.beta2, v, a.one_minus_beta2 * g * g);
  const float denominator = Kokkos::fma(Kokkos::sqrt(v), a.root_scale, a.epsilon);
  p = Kokkos::fma(-a.step_size, m / denominator, a.keep * p);
}

/// What one step's update goes by.
struct Update {
  double learning_rate;
  double clip_factor;
  std::int64_t step;  ///< the first is 1
};

/// Scalars of a step for a parameter with or without weight decay.
AdamW adamw_scalars(const TrainConfig& config, const Update& update, bool decay);

/// Of the kinds of parameters by UpdateKind.
using KindScalars = std::array<AdamW, update_kinds>;
KindScalars kind_scalars(const TrainConfig& config, const Update& update);

/// Updates the elements in this rank's shards.
class Optimizer {
 public:
  /// Of parameters that outlive it. A device gets a table of what is updated.
  explicit Optimizer(const ParameterSet& parameters);
  /// Updates values and moments, in place, and, unless parameters are sharded (gather_values does it then), compute
  /// weights. Elementwise: no layout changes a bit. Where there is `norm`, in device memory, its clip factor counts
  /// instead of the update's, and nothing is done where it is not finite.
  void update(const Queue& queue, const Gradients& gradients, const TrainConfig& config, const Update& update,
              const NormState* norm = nullptr) const;
  /// The two halves of it, on a device: scalars into its memory, and what kernels do, which is the same every step.
  void take_scalars(const Queue& queue, const TrainConfig& config, const Update& update) const;
  void launch(const Queue& queue, const Gradients& gradients, const NormState* norm) const;

 private:
  const ParameterSet* parameters_;
  Vector<UpdateBlock> blocks_;  // devices only
  Vector<AdamW> scalars_;       // (update_kinds); devices only
};

/// The same, once.
inline void adamw(const Queue& queue, const ParameterSet& parameters, const Gradients& gradients,
                  const TrainConfig& config, const Update& update) {
  Optimizer(parameters).update(queue, gradients, config, update);
}

}  // namespace switchyard::train
