// What a task of the list computes on the rank that has most to do: products, and elements that other kernels read or
// write. No MPI, no Kokkos.
#pragma once
#include <map>
#include <vector>

#include "config/architecture.hpp"
#include "config/config.hpp"
#include "config/layout.hpp"
#include "plan/machine_description.hpp"
#include "schedule/task.hpp"

namespace switchyard::plan {

/// `segments` products of `rows` rows each with matrices (columns, inner).
struct ProductCall {
  Product kind;
  double segments, rows, inner, columns;
  double flop() const { return 2.0 * segments * rows * inner * columns; }
};

struct Work {
  std::vector<ProductCall> products;
  double elements = 0.0;  ///< of all kernels together, as far as they grow with the stage (docs/planning.md)
  double flop() const;
  double product_seconds(const ProductRates& rates) const;
};

/// Of a configuration on a layout under even routing, where the busiest experts have `load` times their even rows.
class Workload {
 public:
  Workload(const Config& config, const Layout& layout, double load = 1.0);
  Work of(const schedule::Task& task) const;
  /// Seconds that a task computes, nothing travelling.
  double seconds(const schedule::Task& task, const MachineDescription& machine) const;
  /// Tokens of a lane on the rank that has most; and rows of its experts, or of its part of them, in a layer of E.
  double tokens(int lane) const { return tokens_.at(lane); }
  double expert_rows(int lane, int experts) const;
  /// Of them those that stay on the rank and are computed while others travel; none without layout.local_first.
  double rows_here(int lane, int experts) const;
  double all_expert_rows(int experts) const;  ///< of all lanes

 private:
  Work of_network(const std::vector<TensorSpec>& tensors, Role role, const schedule::Task& task) const;
  Work of_experts(const std::vector<TensorSpec>& tensors, const schedule::Task& task) const;
  void add_product(Work& work, const TensorSpec& tensor, const schedule::Task& task) const;
  double rows_of_experts(const schedule::Task& task) const;
  double rows_out(const schedule::Task& task) const;
  double rows_home(const schedule::Task& task) const;
  double elements_added(const schedule::Task& task) const;
  double elements_of(const schedule::Task& task) const;
  double slab_elements(bool updated_only) const;
  const std::vector<TensorSpec>& tensors_of(int block) const;
  double experts_of_rank(int experts) const;
  double team() const { return layout_.expert_tensor_parallel; }

  Config config_;
  Layout layout_;
  double load_;
  std::vector<double> tokens_, group_tokens_;      ///< of each lane: of the busiest rank, and of the busiest group
  double pieces_ = 1.0, group_pieces_ = 1.0;       ///< of a rank's lane, and of a group
  double replicated_ = 0.0, experts_ = 0.0;        ///< elements of parameters on a rank
  std::map<int, std::vector<TensorSpec>> blocks_;  ///< by number of experts
  std::vector<TensorSpec> outside_;                ///< embedding and head
};

}  // namespace switchyard::plan
