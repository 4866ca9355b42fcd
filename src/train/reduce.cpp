#include "train/reduce.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace switchyard::train {
namespace {

/// What a bucket's sums are made with.
struct Bucket {
  const Queue& queue;
  const comm::Groups& groups;
  const ParameterSet& parameters;
  const Range& blocks;
};

/// The nodes of a bucket where MPI reads them, and where it puts their sum: the slab itself on a host, else `staged`.
class HostPart {
 public:
  HostPart(const Bucket& bucket, Placement placement, HostVector<float>& staged)
      : nodes_(bucket.parameters.gradients(placement)),
        count_(static_cast<Index>(bucket.parameters.nodes(placement).size())),
        sum_(bucket.parameters.gradient_sum(placement)),
        part_(bucket.parameters.span_of(placement, bucket.blocks)) {
    if (on_host) return;
    const Index n = part_.size(), needed = std::max<Index>(count_, 1) * n;
    if (static_cast<Index>(staged.extent(0)) < needed) staged = make_view<HostVector<float>>("reduce::staged", needed);
    staged_ = staged;
    for (Index k = 0; k < count_; ++k)
      copy(bucket.queue, HostVector<float>(staged_.data() + k * n, n),
           Vector<float>(nodes_.data() + k * stride_of(nodes_) + part_.first, n));
    bucket.queue.fence("switchyard::reduce::stage");
  }
  comm::SlabPart slab() const {
    if (on_host) return {nodes_.data() + part_.first, stride_of(nodes_), part_.size(), sum_.data() + part_.first};
    return {staged_.data(), part_.size(), part_.size(), staged_.data()};
  }
  void finish(const Queue& queue) const {
    if (on_host) return;
    copy(queue, Vector<float>(sum_.data() + part_.first, part_.size()),
         HostVector<float>(staged_.data(), part_.size()));
    queue.fence("switchyard::reduce::finish");  // the next bucket is staged in the same memory
  }

 private:
  static Index stride_of(const Matrix<float>& m) { return static_cast<Index>(m.extent(1)); }
  Matrix<float> nodes_;
  Index count_;
  Vector<float> sum_;
  Range part_;
  HostVector<float> staged_;
};

void reduce_part(const Bucket& bucket, Placement placement, Gradients& gradients, Timers& timers) {
  const auto& [queue, groups, parameters, blocks] = bucket;
  const bool replicated = placement == Placement::replicated;  // else rank g of expert_data is of group g
  const comm::Communicator& comm = replicated ? groups.world : groups.expert_data;
  if (comm.size() == 1 && parameters.nodes(placement).size() == 1) return;  // the one node is the sum
  const HostPart part(bucket, placement, gradients.staged);
  comm::tree_all_reduce(comm, replicated ? groups.layout.nodes_of_ranks() : groups.layout.nodes_of_groups(),
                        part.slab(), gradients.memory, timers);
  part.finish(queue);
}

void add(const Queue& queue, float* into, const float* from, Index n) {
  Kokkos::parallel_for(
      "switchyard::reduce::add_source", queue.range(n), KOKKOS_LAMBDA(Index i) { into[i] += from[i]; });
}

}  // namespace

void reduce_gradients(const Queue& queue, const comm::Groups& groups, ParameterSet& parameters, Gradients& gradients,
                      const Range& blocks, Timers& timers) {
  queue.fence("switchyard::reduce::start");  // the kernels of backward have written what MPI reads
  for (const Placement placement : {Placement::replicated, Placement::expert}) {
    gradients.slab[static_cast<int>(placement)] = parameters.gradient_sum(placement);
    reduce_part({queue, groups, parameters, blocks}, placement, gradients, timers);
  }
  for (const Parameter& p : parameters.all()) {
    if (p.adds_to.empty() || p.block < blocks.first || p.block >= blocks.last) continue;
    const int id = parameters.find(p.adds_to);
    expect(id >= 0 && parameters[id].placement == p.placement && parameters[id].span() == p.span() &&
               parameters[id].block == p.block,
           "a source of a gradient of its own shape, placement and block");
    const Vector<float>& slab = gradients.slab[static_cast<int>(p.placement)];
    add(queue, slab.data() + parameters[id].offset, slab.data() + p.offset, p.span());
  }
}

}  // namespace switchyard::train
