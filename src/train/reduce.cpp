#include "train/reduce.hpp"

#include <algorithm>
#include <utility>

#include "base/activity.hpp"
#include "base/check.hpp"
#include "base/clock.hpp"
#include "base/ledger.hpp"

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

Index stride_of(const Matrix<float>& m) { return static_cast<Index>(m.extent(1)); }

/// Nodes of which a rank has the only one have their sum.
bool alone(const comm::Groups& groups, const ParameterSet& parameters, Placement placement) {
  return owners_of(groups, placement).size() == 1 && parameters.nodes(placement).size() == 1;
}

/// What a bucket's sums are made of.
struct Bucket {
  const Queue& queue;
  const comm::Groups& groups;
  const ParameterSet& parameters;
  const Range& blocks;
  comm::SumMemory& memory;

  bool alone(Placement placement) const { return switchyard::train::alone(groups, parameters, placement); }
  bool travels() const { return reduction_travels(groups, parameters); }
  Index node_count(Placement placement) const { return static_cast<Index>(parameters.nodes(placement).size()); }
  /// Floats that its nodes take where they are staged: at least one node, for the sum.
  Index staged_elements() const {
    Index all = 0;
    for (const Placement placement : placements)
      for (const Range& part : parameters.parts_of(placement, blocks))
        if (!alone(placement)) all += std::max<Index>(node_count(placement), 1) * part.size();
    return all;
  }
};

/// A part of a slab's nodes where MPI reads them, and where their sum is put: the slab itself.
comm::SlabPart in_place(const Bucket& bucket, Placement placement, const Range& part) {
  const Matrix<float> nodes = bucket.parameters.gradients(placement);
  return {nodes.data() + part.first, stride_of(nodes), part.size(),
          bucket.parameters.gradient_sum(placement).data() + part.first};
}

/// The same in memory of the host, from `at` on.
comm::SlabPart on_its_way(const Bucket& bucket, Placement placement, const Range& part, float* at) {
  const Matrix<float> nodes = bucket.parameters.gradients(placement);
  for (Index k = 0; k < bucket.node_count(placement); ++k)
    copy(bucket.queue, HostVector<float>(at + k * part.size(), part.size()),
         Vector<float>(nodes.data() + k * stride_of(nodes) + part.first, part.size()));
  return {at, part.size(), part.size(), at};
}

/// Adds the sum of a part to those of its bucket. `at`: where it is staged, past which it goes; unless null.
void add_part(const Bucket& bucket, Placement placement, const Range& part, float*& at, BucketSums& begun) {
  const comm::Communicator& comm = owners_of(bucket.groups, placement);
  const bool sharded = bucket.parameters.sharded();
  const Layout& layout = bucket.groups.layout;
  const comm::SlabPart slab = at ? on_its_way(bucket, placement, part, at) : in_place(bucket, placement, part);
  if (at) {
    const Range summed = sharded ? slice_of(part.size(), comm.size(), comm.rank()) : Range{0, part.size()};
    begun.staged.push_back(
        {part_of(bucket.parameters.gradient_sum(placement), {part.first + summed.first, part.first + summed.last}),
         HostVector<float>(at + summed.first, summed.size())});
    at += std::max<Index>(bucket.node_count(placement), 1) * part.size();
  }
  const auto nodes = placement == Placement::replicated ? layout.nodes_of_ranks() : layout.nodes_of_groups();
  const comm::TreeSum& sum = begun.sums.emplace_back(comm, nodes, slab, !sharded, bucket.memory);
  begun.hop.bytes += sum.bytes_sent(), begun.hop.received += sum.bytes_received();
}

void add(const Queue& queue, float* into, const float* from, Index n) {
  Kokkos::parallel_for(
      "switchyard::reduce::add_source", queue.range(n), KOKKOS_LAMBDA(Index i) { into[i] += from[i]; });
}

/// Adds a second source into the gradient that it names, where this rank has their sums.
void add_source(const Queue& queue, const ParameterSet& parameters, const Parameter& source,
                const Gradients& gradients) {
  const Parameter& of = parameters[parameters.id(source.adds_to)];
  expect(of.placement == source.placement && of.span() == source.span() && of.block == source.block,
         "a source of a gradient of its own shape, placement and block");
  float* sums = gradients.slab[static_cast<int>(of.placement)].data();
  for (const Piece& piece : parameters.shard(of.placement)) {
    const Range mine = common(piece.elements, {of.offset, of.offset + of.span()});
    if (mine.size() > 0) add(queue, sums + mine.first, sums + mine.first - of.offset + source.offset, mine.size());
  }
}

}  // namespace

bool reduction_travels(const comm::Groups& groups, const ParameterSet& parameters) {
  return std::any_of(std::begin(placements), std::end(placements),
                     [&](Placement p) { return !alone(groups, parameters, p); });
}

bool BucketSums::poll() {
  for (comm::TreeSum& sum : sums)
    if (!sum.poll()) return false;
  if (hop.start > 0.0 && hop.end == 0.0) hop.end = now();
  return true;
}

void BucketSums::wait() {
  const double from = now();
  if (poll()) return;
  const activity::OnHop what(activity::Hop::sums, static_cast<int>(blocks.first));
  for (comm::TreeSum& sum : sums) sum.wait();
  poll();
  if (hop.start > 0.0) hop.waited = hop.end - from;
}

bool Gradients::poll() {
  const ledger::For purpose(ledger::Purpose::reduce);
  for (BucketSums& bucket : under_way)
    if (!bucket.poll()) return true;  // the next one needs its memory
  return false;
}

HostVector<float> Gradients::stage(Index n) {
  if (static_cast<Index>(staged.extent(0)) < n) {
    staged = {};  // or there would be both for a moment
    staged = make_view<HostVector<float>>("reduce::staged", n);
  }
  return staged;
}

void begin_reduction(const Queue& queue, const comm::Groups& groups, ParameterSet& parameters, Gradients& gradients,
                     const Range& blocks, Timers& timers) {
  if (!on_host) finish_reductions(queue, parameters, gradients);
  const Bucket bucket{queue, groups, parameters, blocks, gradients.memory};
  if (bucket.travels()) queue.fence("switchyard::reduce::start");  // kernels of backward have written what MPI reads
  BucketSums begun;  // under way, where a fence polls it, once it is staged
  begun.blocks = blocks;
  float* at = on_host ? nullptr : gradients.stage(bucket.staged_elements()).data();
  for (const Placement placement : placements) {
    gradients.slab[static_cast<int>(placement)] = parameters.gradient_sum(placement);
    if (bucket.alone(placement)) continue;
    for (const Range& part : parameters.parts_of(placement, blocks)) add_part(bucket, placement, part, at, begun);
  }
  if (!on_host && bucket.travels()) queue.fence("switchyard::reduce::stage");
  if (begun.hop.bytes + begun.hop.received > 0) begun.hop.start = now();
  timers.bytes[static_cast<int>(Phase::reduce)] += begun.hop.bytes;
  gradients.under_way.push_back(std::move(begun));
  gradients.poll();
}

void finish_reductions(const Queue& queue, const ParameterSet& parameters, Gradients& gradients) {
  const ledger::For purpose(ledger::Purpose::reduce);
  for (BucketSums& bucket : gradients.under_way) {
    bucket.wait();
    for (const BucketSums::Staged& part : bucket.staged) copy(queue, part.to, part.from);
    if (!bucket.staged.empty())
      queue.fence("switchyard::reduce::finish");  // the next bucket is staged in the same memory
    for (const Parameter& p : parameters.all())
      if (!p.adds_to.empty() && p.block >= bucket.blocks.first && p.block < bucket.blocks.last)
        add_source(queue, parameters, p, gradients);
    gradients.hops.push_back(bucket.hop);
  }
  gradients.under_way.clear();
}

void reduce_gradients(const Queue& queue, const comm::Groups& groups, ParameterSet& parameters, Gradients& gradients,
                      const Range& blocks, Timers& timers) {
  begin_reduction(queue, groups, parameters, gradients, blocks, timers);
  finish_reductions(queue, parameters, gradients);
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
