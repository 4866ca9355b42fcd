#include "tensor/parameter.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/philox.hpp"

namespace switchyard {
namespace {

/// values[i] of one unit: normal by Box-Muller on Philox, counter (element / 2, unit, id).
void fill_normal(float* values, Index n, std::uint64_t key, std::uint32_t id, std::uint32_t unit, float std) {
  Kokkos::parallel_for(
      "switchyard::parameter::fill", Kokkos::RangePolicy<Device>(0, n), KOKKOS_LAMBDA(Index i) {
        const Philox r =
            philox(key, {{static_cast<std::uint32_t>(i / 2), static_cast<std::uint32_t>(i >> 33), unit, id}});
        const double u = (r.v[0] + 0.5) / 4294967296.0, angle = 6.283185307179586 * (r.v[1] / 4294967296.0);
        const double radius = Kokkos::sqrt(-2.0 * Kokkos::log(u));
        values[i] = static_cast<float>(std * radius * (i % 2 ? Kokkos::sin(angle) : Kokkos::cos(angle)));
      });
}

void fill_constant(float* values, Index n, float value) {
  Kokkos::parallel_for(
      "switchyard::parameter::fill", Kokkos::RangePolicy<Device>(0, n), KOKKOS_LAMBDA(Index i) { values[i] = value; });
}

}  // namespace

ParameterSet::ParameterSet(const Layout& layout, const std::vector<TensorSpec>& tensors)
    : nodes_{layout.my_nodes(), layout.my_group_nodes()} {
  for (const TensorSpec& tensor : tensors) {
    Parameter p;
    static_cast<TensorSpec&>(p) = tensor;
    p.id = static_cast<int>(all_.size());
    if (p.placement == Placement::expert) p.experts = layout.my_experts(static_cast<int>(p.shape[0]));
    p.unit = tensor.unit();
    p.stride = padded_unit(p.unit);
    Index& end = size_[static_cast<int>(p.placement)];
    p.offset = end;
    end += p.span();
    expect(ids_.emplace(p.name, p.id).second, "names that occur once");
    all_.push_back(std::move(p));
  }
}

void ParameterSet::take(Arena& arena) {
  for (int p = 0; p < 2; ++p) {
    value_[p] = arena.vector<float>(size_[p], Account::parameters);
    first_[p] = arena.vector<float>(size_[p], Account::moments);
    second_[p] = arena.vector<float>(size_[p], Account::moments);
    const auto nodes = static_cast<Index>(nodes_[p].size());
    gradient_[p] = arena.matrix<float>(nodes, size_[p], Account::gradients);
    sum_[p] =
        nodes > 0 ? Vector<float>(gradient_[p].data(), size_[p]) : arena.vector<float>(size_[p], Account::gradients);
  }
}

void ParameterSet::allocate(std::uint64_t seed) {
  take(arena_);
  arena_.place("parameters::slabs");
  take(arena_);
  for (int p = 0; p < 2; ++p) {
    for (const auto& slab : {value_[p], first_[p], second_[p], sum_[p]}) Kokkos::deep_copy(slab, 0.0f);
    Kokkos::deep_copy(gradient_[p], 0.0f);
  }
  const std::uint64_t key = stream_key(seed, Purpose::init);
  for (const Parameter& p : all_) {
    if (!p.adds_to.empty()) continue;
    for (Index u = 0; u < p.experts.size(); ++u) {
      float* unit = value(p.id) + u * p.stride;
      if (p.init == Init::ones)
        fill_constant(unit, p.unit, 1.0f);
      else
        fill_normal(unit, p.unit, key, p.id, static_cast<std::uint32_t>(p.experts.first + u),
                    static_cast<float>(p.init_std));
    }
  }
  Kokkos::fence("switchyard::parameters::allocate");
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

float* ParameterSet::gradient(int id) const {
  const Parameter& p = all_[id];
  return nodes(p.placement).empty() ? nullptr : gradients(p.placement).data() + p.offset;
}

}  // namespace switchyard
