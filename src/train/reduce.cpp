#include "train/reduce.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace switchyard::train {
namespace {

constexpr Placement placements[] = {Placement::replicated, Placement::expert};

const comm::Communicator& owners_of(const comm::Groups& groups, Placement placement) {
  return placement == Placement::replicated ? groups.world : groups.expert_data;  // rank g of expert_data is of group g
}

/// Where the elements of `part` lie in a slab.
Vector<float> part_of(const Vector<float>& slab, const Range& part) {
  return Vector<float>(slab.data() + part.first, part.size());
}

/// A part of a slab's nodes where MPI reads them, and where it puts their sum: the slab itself on a host, else staged.
class HostPart {
 public:
  HostPart(const Queue& queue, const ParameterSet& parameters, Placement placement, const Range& part,
           Gradients& gradients)
      : nodes_(parameters.gradients(placement)), sum_(parameters.gradient_sum(placement)), part_(part) {
    if (on_host) return;
    const auto count = static_cast<Index>(parameters.nodes(placement).size());
    const Index n = part_.size();
    staged_ = gradients.stage(std::max<Index>(count, 1) * n);
    for (Index k = 0; k < count; ++k)
      copy(queue, HostVector<float>(staged_.data() + k * n, n),
           Vector<float>(nodes_.data() + k * stride_of(nodes_) + part_.first, n));
    queue.fence("switchyard::reduce::stage");
  }
  comm::SlabPart slab() const {
    if (on_host) return {nodes_.data() + part_.first, stride_of(nodes_), part_.size(), sum_.data() + part_.first};
    return {staged_.data(), part_.size(), part_.size(), staged_.data()};
  }
  /// `summed`: those of the part that have their sum.
  void finish(const Queue& queue, const Range& summed) const {
    if (on_host) return;
    copy(queue, part_of(sum_, {part_.first + summed.first, part_.first + summed.last}),
         HostVector<float>(staged_.data() + summed.first, summed.size()));
    queue.fence("switchyard::reduce::finish");  // the next part is staged in the same memory
  }

 private:
  static Index stride_of(const Matrix<float>& m) { return static_cast<Index>(m.extent(1)); }
  Matrix<float> nodes_;
  Vector<float> sum_;
  Range part_;
  HostVector<float> staged_;
};

/// What a bucket's sums are made with.
struct Bucket {
  const Queue& queue;
  const comm::Groups& groups;
  const ParameterSet& parameters;
  const Range& blocks;
};

void reduce_slab(const Bucket& bucket, Placement placement, Gradients& gradients, Timers& timers) {
  const auto& [queue, groups, parameters, blocks] = bucket;
  const comm::Communicator& comm = owners_of(groups, placement);
  if (comm.size() == 1 && parameters.nodes(placement).size() == 1) return;  // the one node is the sum
  const auto nodes =
      placement == Placement::replicated ? groups.layout.nodes_of_ranks() : groups.layout.nodes_of_groups();
  for (const Range& part : parameters.parts_of(placement, blocks)) {
    const HostPart host(queue, parameters, placement, part, gradients);
    if (parameters.sharded())
      comm::tree_reduce_scatter(comm, nodes, host.slab(), gradients.memory, timers);
    else
      comm::tree_all_reduce(comm, nodes, host.slab(), gradients.memory, timers);
    host.finish(queue, parameters.sharded() ? slice_of(part.size(), comm.size(), comm.rank()) : Range{0, part.size()});
  }
}

void add(const Queue& queue, float* into, const float* from, Index n) {
  Kokkos::parallel_for(
      "switchyard::reduce::add_source", queue.range(n), KOKKOS_LAMBDA(Index i) { into[i] += from[i]; });
}

/// Adds a second source into the gradient of `of`, where this rank has their sums.
void add_source(const Bucket& bucket, const Parameter& source, const Parameter& of, const Vector<float>& slab) {
  expect(of.placement == source.placement && of.span() == source.span() && of.block == source.block,
         "a source of a gradient of its own shape, placement and block");
  for (const Piece& piece : bucket.parameters.shard(of.placement)) {
    const Range mine = common(piece.elements, {of.offset, of.offset + of.span()});
    if (mine.size() > 0)
      add(bucket.queue, slab.data() + mine.first, slab.data() + mine.first - of.offset + source.offset, mine.size());
  }
}

}  // namespace

HostVector<float> Gradients::stage(Index n) {
  if (static_cast<Index>(staged.extent(0)) < n) {
    staged = {};  // or there would be both for a moment
    staged = make_view<HostVector<float>>("reduce::staged", n);
  }
  return staged;
}

void reduce_gradients(const Queue& queue, const comm::Groups& groups, ParameterSet& parameters, Gradients& gradients,
                      const Range& blocks, Timers& timers) {
  queue.fence("switchyard::reduce::start");  // the kernels of backward have written what MPI reads
  const Bucket bucket{queue, groups, parameters, blocks};
  for (const Placement placement : placements) {
    gradients.slab[static_cast<int>(placement)] = parameters.gradient_sum(placement);
    reduce_slab(bucket, placement, gradients, timers);
  }
  for (const Parameter& p : parameters.all()) {
    if (p.adds_to.empty() || p.block < blocks.first || p.block >= blocks.last) continue;
    add_source(bucket, p, parameters[parameters.id(p.adds_to)], gradients.slab[static_cast<int>(p.placement)]);
  }
}

void gather_values(const Queue& queue, const comm::Groups& groups, const ParameterSet& parameters, Gradients& gradients,
                   Timers& timers) {
  queue.fence("switchyard::gather::start");  // the update has written what MPI reads
  for (const Placement placement : placements) {
    const comm::Communicator& comm = owners_of(groups, placement);
    for (const Range& part : parameters.cut_parts(placement)) {
      if (comm.size() == 1) continue;
      const Vector<float> values = part_of(parameters.values(placement), part);
      if (on_host) {
        comm::share_slices(comm, values.data(), part.size(), timers);
        continue;
      }
      const Range own = slice_of(part.size(), comm.size(), comm.rank());
      const HostVector<float> host(gradients.stage(part.size()).data(), part.size());
      copy(queue, HostVector<float>(host.data() + own.first, own.size()), part_of(values, own));
      queue.fence("switchyard::gather::stage");
      comm::share_slices(comm, host.data(), part.size(), timers);
      copy(queue, values, host);
      queue.fence("switchyard::gather::finish");  // the next part is staged in the same memory
    }
  }
  parameters.round_weights(queue);
}

}  // namespace switchyard::train
