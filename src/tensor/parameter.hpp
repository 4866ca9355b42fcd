// The parameters of a model in two flat slabs (replicated and expert): what the optimizer, the gradient reduction and
// the checkpoints iterate over.
#pragma once
#include <string>
#include <vector>

#include "config/layout.hpp"
#include "tensor/types.hpp"

namespace switchyard {

enum class Placement { replicated, expert };
enum class Init { normal, ones };

/// One tensor. A unit is the whole tensor, or one expert's part of it: units are what norms and checkpoints count in,
/// so nothing depends on which rank holds which expert.
struct Parameter {
  std::string name;                 ///< "blocks.1.moe.experts.up"
  std::vector<std::int64_t> shape;  ///< global; experts: (E, …)
  Placement placement = Placement::replicated;
  Init init = Init::normal;
  double init_std = 0.0;
  bool decay = true;    ///< takes part in weight decay
  std::string adds_to;  ///< a second source of the gradient of the parameter of that name (tied embedding); has no
                        ///< value of its own
  // set by ParameterSet::add and allocate:
  int id = -1;          ///< order of declaration; keys the initial values
  Range experts{0, 1};  ///< local experts (of shape[0]); {0, 1} where replicated
  Index unit = 0;       ///< elements of one unit
  Index offset = 0;     ///< of the local elements in their slab
  Index size() const { return unit * experts.size(); }
};

/// All parameters of one rank. Gradients are kept once a tree node of the grains that this rank (replicated) or its
/// expert group (expert) holds: gradient(id) + n * gradient_stride(id) is node n.
class ParameterSet {
 public:
  explicit ParameterSet(const Layout& layout) : layout_(layout) {}
  /// Declares a parameter; returns its id. Before allocate().
  int add(Parameter parameter);
  /// Makes the slabs and fills the values: a pure function of (seed, id, unit, element).
  void allocate(std::uint64_t seed);

  const std::vector<Parameter>& all() const { return all_; }
  const Parameter& operator[](int id) const { return all_[id]; }
  int find(const std::string& name) const;  ///< id; −1 where there is none

  /// Slab elements of a placement, padding included.
  Index slab_size(Placement p) const { return size_[static_cast<int>(p)]; }
  const std::vector<TreeNode>& nodes(Placement p) const { return nodes_[static_cast<int>(p)]; }
  /// Slabs: (size) each, gradients (nodes, size).
  Vector<float> values(Placement p) const { return value_[static_cast<int>(p)]; }
  Vector<float> first_moments(Placement p) const { return first_[static_cast<int>(p)]; }
  Vector<float> second_moments(Placement p) const { return second_[static_cast<int>(p)]; }
  Matrix<float> gradients(Placement p) const { return gradient_[static_cast<int>(p)]; }

  float* value(int id) const;
  float* gradient(int id) const;  ///< node 0; null where this rank holds no node
  Index gradient_stride(int id) const { return slab_size(all_[id].placement); }

 private:
  Layout layout_;
  std::vector<Parameter> all_;
  Index size_[2] = {0, 0};
  std::vector<TreeNode> nodes_[2];
  Vector<float> value_[2], first_[2], second_[2];
  Matrix<float> gradient_[2];
};

}  // namespace switchyard
