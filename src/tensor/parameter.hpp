// The parameters of a rank in two flat slabs (replicated and expert): what the optimizer, the gradient reduction and
// the checkpoints iterate over.
#pragma once
#include <algorithm>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/check.hpp"
#include "config/architecture.hpp"
#include "config/layout.hpp"
#include "config/shards.hpp"
#include "tensor/arena.hpp"
#include "tensor/queue.hpp"

namespace switchyard {

/// One tensor of the list, and where this rank has it.
struct Parameter : TensorSpec {
  int id = -1;                     ///< place in the list; keys the initial values
  std::vector<std::int64_t> held;  ///< of the tensor's those that this rank has, in the order of the slab: ascending
  Index local_chunks = 1;          ///< neighbours among them that are of one expert
  Index unit = 0;                  ///< elements of one unit
  Index stride = 0;                ///< from one unit to the next in the slab: a multiple of unit_block
  Index offset = 0;                ///< of the first local unit in the slab
  bool paired = false;             ///< of two sources of one gradient (adds_to), whose slices must have one owner
  /// Elements of the slab from the first local unit to past the last, filling included.
  Index span() const { return stride * local_units(); }
  Index local_units() const { return static_cast<Index>(held.size()); }
  /// Which of them a unit of the tensor is, that this rank must have.
  Index local_unit(std::int64_t of_tensor) const {
    const auto found = std::lower_bound(held.begin(), held.end(), of_tensor);
    expect(found != held.end() && *found == of_tensor, "a unit that this rank has");
    return found - held.begin();
  }
};

/// All parameters of one rank, in the order of the list. Gradients are kept once a tree node of the pieces that this
/// rank (replicated) or its expert-parallel group (expert) holds: gradient(id) + n * gradient_stride(id) is node n.
class ParameterSet {
 public:
  /// Products read weights of the element `compute`; values, moments and gradients are floats. Where there are buckets
  /// in `sharded` (config/shards.hpp; together all blocks, the last ones first), the moments of a parameter are shared
  /// out among the ranks that hold it, its owners: the world, of experts the expert-data group.
  ParameterSet(const Layout& layout, const std::vector<TensorSpec>& tensors, Element compute = Element::f32,
               const std::vector<Range>& sharded = {});
  /// Makes the slabs and fills the values: a pure function of (seed, id, unit, element).
  void allocate(const Queue& queue, std::uint64_t seed);
  /// Takes the slabs from `arena`, of which allocate() makes one.
  void take(Arena& arena);
  std::int64_t placed_bytes() const { return arena_.placed_bytes(); }  ///< of all slabs

  const std::vector<Parameter>& all() const { return all_; }
  const Parameter& operator[](int id) const { return all_[id]; }
  int find(const std::string& name) const;  ///< id; −1 where there is none
  int id(const std::string& name) const;    ///< of a parameter that must be in the list

  /// Slab elements of a placement, filling included.
  Index slab_size(Placement p) const { return size_[static_cast<int>(p)]; }
  /// Elements of the slab of a placement that belong to blocks [first, last): contiguous, and so is a bucket.
  Range span_of(Placement p, const Range& blocks) const;
  bool sharded() const { return !sharded_.empty(); }
  /// Parts of that span whose gradients are summed each by itself and, with shards, cut among owners: all of it; with
  /// shards the two sources of a gradient apart, so that both are cut alike. `blocks` are then one of the buckets.
  std::vector<Range> parts_of(Placement p, const Range& blocks) const;
  /// Of all blocks those parts that have values, ascending: what is cut among owners.
  const std::vector<Range>& cut_parts(Placement p) const { return cut_[static_cast<int>(p)]; }
  /// The elements that an owner updates and has the moments of, and where in the slabs of moments; unless they are
  /// sharded all that have values, at their places in the other slabs.
  std::vector<Piece> shard_of(Placement p, int owner) const;
  const std::vector<Piece>& shard(Placement p) const { return shard_[static_cast<int>(p)]; }  ///< this rank's own
  /// Of one slab of moments of an owner.
  Index moment_elements(Placement p, int owner) const;
  const std::vector<TreeNode>& nodes(Placement p) const { return nodes_[static_cast<int>(p)]; }
  /// Slabs: (size) each, moments (elements of the shard) where these are sharded, gradients (slots, size), whose first
  /// are the nodes; replicated ones have more where the lanes of a rank do not meet in as many (base/tree.hpp,
  /// lane_sums).
  Vector<float> values(Placement p) const { return value_[static_cast<int>(p)]; }
  Vector<float> first_moments(Placement p) const { return first_[static_cast<int>(p)]; }
  Vector<float> second_moments(Placement p) const { return second_[static_cast<int>(p)]; }
  Matrix<float> gradients(Placement p) const { return gradient_[static_cast<int>(p)]; }
  /// (size) where the sum over all nodes of all ranks is to be: node 0, or memory of its own where there is none.
  Vector<float> gradient_sum(Placement p) const { return sum_[static_cast<int>(p)]; }

  /// (1, size) what round_weights fills; nothing where products read the values.
  Tensor rounded(Placement p) const { return rounded_[static_cast<int>(p)]; }

  float* value(int id) const;
  /// What products read of a parameter of matrices, of routers always floats: local unit `unit`, others
  /// Parameter::stride elements on.
  Tensor weight(int id, Index unit = 0) const;
  /// Rounds the values to what products read, where that is not the values themselves: whenever they have changed.
  void round_weights(const Queue& queue) const;
  float* gradient(int id) const;  ///< node 0; null where this rank holds no node
  /// The steps that follow after a lane has filled its slots of a replicated gradient.
  void take_steps(const Queue& queue, int id, const std::vector<SlotStep>& steps) const;
  Index gradient_stride(int id) const { return slab_size(all_[id].placement); }

 private:
  void cut();
  std::vector<Range> runs(Placement placement, const Range& blocks, bool with_values) const;
  std::vector<Parameter> all_;
  std::unordered_map<std::string, int> ids_;
  Index size_[2] = {0, 0};
  std::vector<Range> sharded_;
  int owners_[2], owner_[2];
  std::vector<Range> cut_[2];
  std::vector<Piece> shard_[2];
  std::vector<TreeNode> nodes_[2];
  int slots_[2];
  Arena arena_;
  Vector<float> value_[2], first_[2], second_[2], sum_[2];
  Matrix<float> gradient_[2];
  Element compute_;
  Tensor rounded_[2];  ///< (1, size) nothing where products read the values
};

}  // namespace switchyard
