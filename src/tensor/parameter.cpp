#include "tensor/parameter.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/philox.hpp"

namespace switchyard {
namespace {

/// Where the numbers of one unit come from: those of an expert's matrix are the same however it is cut.
struct Draws {
  std::uint64_t key;
  std::uint32_t id, expert;
  Index first, width, stride;  ///< elements of the matrix: runs of `width`, from `first` on, `stride` apart
};

Draws draws_of(const Parameter& p, Index unit, std::uint64_t key) {
  const Index chunk = unit % p.chunks;
  const auto id = static_cast<std::uint32_t>(p.id), expert = static_cast<std::uint32_t>(unit / p.chunks);
  if (!p.chunks_of_input) return {key, id, expert, chunk * p.unit, p.unit, p.unit};
  const Index width = p.shape.back();
  return {key, id, expert, chunk * width, width, p.chunks * width};
}

/// values[n] of one unit, whose place in its expert's matrix is i: normal by Box-Muller on Philox, counter (i / 2,
/// expert, id).
void fill_normal(const Queue& queue, const Vector<float>& values, const Draws& draws, float std) {
  Kokkos::parallel_for(
      "switchyard::parameter::fill", queue.range(values.extent(0)), KOKKOS_LAMBDA(Index n) {
        const Index i = draws.first + n / draws.width * draws.stride + n % draws.width;
        const Philox r =
            philox(draws.key,
                   {{static_cast<std::uint32_t>(i / 2), static_cast<std::uint32_t>(i >> 33), draws.expert, draws.id}});
        const double u = (r.v[0] + 0.5) / 4294967296.0, angle = 6.283185307179586 * (r.v[1] / 4294967296.0);
        const double radius = Kokkos::sqrt(-2.0 * Kokkos::log(u));
        values[n] = static_cast<float>(std * radius * (i % 2 ? Kokkos::sin(angle) : Kokkos::cos(angle)));
      });
}

template <class T>
void round_all(const Queue& queue, const Vector<float>& values, const Lines<T>& to) {
  Kokkos::parallel_for(
      "switchyard::parameter::round", queue.range(values.extent(0)),
      KOKKOS_LAMBDA(Index i) { store(values(i), to.data[i]); });
}

}  // namespace

ParameterSet::ParameterSet(const Layout& layout, const std::vector<TensorSpec>& tensors, Element compute,
                           const std::vector<Range>& sharded)
    : sharded_(sharded),
      owners_{layout.ranks, layout.groups()},
      owner_{layout.rank, layout.group()},
      nodes_{layout.my_nodes(), layout.my_group_nodes()},
      slots_{layout.my_slots(), static_cast<int>(nodes_[1].size())},
      compute_(compute) {
  for (const TensorSpec& tensor : tensors) {
    Parameter p;
    static_cast<TensorSpec&>(p) = tensor;
    p.id = static_cast<int>(all_.size());
    p.held = held_units(tensor, layout, layout.place());
    if (p.placement == Placement::expert) p.local_chunks = layout.chunks_of(layout.place(), p.chunks).size();
    p.unit = tensor.unit();
    p.stride = padded_unit(p.unit);
    Index& end = size_[static_cast<int>(p.placement)];
    p.offset = end;
    end += p.span();
    expect(ids_.emplace(p.name, p.id).second, "names that occur once");
    all_.push_back(std::move(p));
  }
  for (Parameter& p : all_) {
    if (p.adds_to.empty()) continue;
    p.paired = true;
    if (const int id = find(p.adds_to); id >= 0) all_[id].paired = true;
  }
  cut();
}

void ParameterSet::cut() {
  const std::vector<Range> buckets = sharded() ? sharded_ : std::vector<Range>{all_blocks};
  for (const Placement placement : {Placement::replicated, Placement::expert}) {
    const int p = static_cast<int>(placement);
    for (auto bucket = buckets.rbegin(); bucket != buckets.rend(); ++bucket) {
      const std::vector<Range> parts = runs(placement, *bucket, true);
      cut_[p].insert(cut_[p].end(), parts.begin(), parts.end());
    }
    shard_[p] = shard_of(placement, owner_[p]);
  }
}

/// Neighbours in the slab together, but what is paired apart.
std::vector<Range> ParameterSet::runs(Placement placement, const Range& blocks, bool with_values) const {
  std::vector<Range> found;
  bool joins = false;
  for (const Parameter& p : all_) {
    if (p.placement != placement || p.block < blocks.first || p.block >= blocks.last) continue;
    if (with_values && !p.adds_to.empty()) {
      joins = false;
      continue;
    }
    if (joins && !p.paired && found.back().last == p.offset)
      found.back().last += p.span();
    else
      found.push_back({p.offset, p.offset + p.span()});
    joins = !p.paired;
  }
  return found;
}

std::vector<Range> ParameterSet::parts_of(Placement placement, const Range& blocks) const {
  if (!sharded()) return {span_of(placement, blocks)};
  expect(std::find(sharded_.begin(), sharded_.end(), blocks) != sharded_.end(), "a bucket by which shards are cut");
  return runs(placement, blocks, false);
}

std::vector<Piece> ParameterSet::shard_of(Placement placement, int owner) const {
  const int p = static_cast<int>(placement);
  if (sharded()) return switchyard::shard_of(cut_[p], owners_[p], owner);
  std::vector<Piece> pieces;
  for (const Range& part : cut_[p])
    if (part.size() > 0) pieces.push_back({part, part.first});
  return pieces;
}

Index ParameterSet::moment_elements(Placement placement, int owner) const {
  return sharded() ? elements_of(shard_of(placement, owner)) : slab_size(placement);
}

void ParameterSet::take(Arena& arena) {
  for (int p = 0; p < 2; ++p) {
    value_[p] = arena.vector<float>(size_[p], Account::parameters);
    const Index moments = moment_elements(static_cast<Placement>(p), owner_[p]);
    first_[p] = arena.vector<float>(moments, Account::moments);
    second_[p] = arena.vector<float>(moments, Account::moments);
    gradient_[p] = arena.matrix<float>(slots_[p], size_[p], Account::gradients);
    sum_[p] = slots_[p] > 0 ? Vector<float>(gradient_[p].data(), size_[p])
                            : arena.vector<float>(size_[p], Account::gradients);
    if (compute_ != Element::f32) rounded_[p] = arena.tensor(compute_, 1, size_[p], Account::parameters);
  }
}

void ParameterSet::allocate(const Queue& queue, std::uint64_t seed) {
  take(arena_);
  arena_.place("parameters::slabs");
  take(arena_);
  for (int p = 0; p < 2; ++p) {
    for (const auto& slab : {value_[p], first_[p], second_[p], sum_[p]}) fill(queue, slab, 0.0f);
    fill(queue, gradient_[p], 0.0f);
  }
  const std::uint64_t key = stream_key(seed, Purpose::init);
  for (const Parameter& p : all_) {
    if (!p.adds_to.empty()) continue;
    for (Index u = 0; u < p.local_units(); ++u) {
      const Vector<float> unit(value(p.id) + u * p.stride, p.unit);
      if (p.init == Init::ones)
        fill(queue, unit, 1.0f);
      else
        fill_normal(queue, unit, draws_of(p, p.held[u], key), static_cast<float>(p.init_std));
    }
  }
  round_weights(queue);
  queue.fence("switchyard::parameters::allocate");
}

Range ParameterSet::span_of(Placement placement, const Range& blocks) const {
  Range span{slab_size(placement), 0};
  for (const Parameter& p : all_)
    if (p.placement == placement && p.block >= blocks.first && p.block < blocks.last) {
      span.first = std::min(span.first, p.offset);
      span.last = std::max(span.last, p.offset + p.span());
    }
  return {std::min(span.first, span.last), span.last};
}

int ParameterSet::find(const std::string& name) const {
  const auto found = ids_.find(name);
  return found == ids_.end() ? -1 : found->second;
}

int ParameterSet::id(const std::string& name) const {
  const int found = find(name);
  check(found >= 0, Exit::internal, name + " is not in the list of the model's tensors (config/architecture.cpp)");
  return found;
}

float* ParameterSet::value(int id) const {
  const Parameter& p = all_[id];
  expect(p.adds_to.empty(), "a parameter with a value of its own");
  return values(p.placement).data() + p.offset;
}

Tensor ParameterSet::weight(int id, Index unit) const {
  const Parameter& p = all_[id];
  expect(p.shape.size() >= 2, "a parameter of matrices");
  const std::int64_t rows = p.shape[p.shape.size() - 2], width = p.shape.back();
  if (compute_ == Element::f32 || p.role == Role::router)
    return {value(id) + unit * p.stride, Element::f32, rows, width};
  return {rounded_[static_cast<int>(p.placement)].at(0, p.offset + unit * p.stride), compute_, rows, width};
}

void ParameterSet::round_weights(const Queue& queue) const {
  if (compute_ == Element::f32) return;
  for (int p = 0; p < 2; ++p)
    by_element(compute_, [&](auto zero) { round_all(queue, value_[p], rounded_[p].lines<decltype(zero)>()); });
}

void ParameterSet::take_steps(const Queue& queue, int id, const std::vector<SlotStep>& steps) const {
  const Index n = all_[id].span(), stride = gradient_stride(id);
  for (const SlotStep& step : steps) {
    float* into = gradient(id) + step.into * stride;
    const float* from = gradient(id) + step.from * stride;
    if (step.add)
      Kokkos::parallel_for(
          "switchyard::parameter::add_slot", queue.range(n), KOKKOS_LAMBDA(Index i) { into[i] += from[i]; });
    else
      copy(queue, Vector<float>(into, n), Vector<const float>(from, n));
  }
}

float* ParameterSet::gradient(int id) const {
  const Parameter& p = all_[id];
  return nodes(p.placement).empty() ? nullptr : gradients(p.placement).data() + p.offset;
}

}  // namespace switchyard
