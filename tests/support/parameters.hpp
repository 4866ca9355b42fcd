// Elements of parameters between the slabs of a store and the host: units one after another, without what fills them
// up.
#pragma once
#include <vector>

#include "tensor/parameter.hpp"

namespace switchyard::test {

/// n elements at `from` (device) on the host.
inline std::vector<float> read(const float* from, Index n) {
  std::vector<float> to(n);
  Kokkos::deep_copy(HostVector<float>(to.data(), n), Vector<const float>(from, n));
  return to;
}

inline void write(float* to, const std::vector<float>& from) {
  const Index n = static_cast<Index>(from.size());
  Kokkos::deep_copy(Vector<float>(to, n), HostVector<const float>(from.data(), n));
}

/// Elements of the local units of a parameter.
inline Index elements(const Parameter& p) { return p.unit * p.local_units(); }

/// The local units of `p` from a slab of its placement (device).
inline std::vector<float> read_units(const float* slab, const Parameter& p) {
  std::vector<float> all;
  for (Index u = 0; u < p.local_units(); ++u) {
    const auto unit = read(slab + p.offset + u * p.stride, p.unit);
    all.insert(all.end(), unit.begin(), unit.end());
  }
  return all;
}

inline void write_units(float* slab, const Parameter& p, const std::vector<float>& values) {
  for (Index u = 0; u < p.local_units(); ++u)
    write(slab + p.offset + u * p.stride, {values.begin() + u * p.unit, values.begin() + (u + 1) * p.unit});
}

/// The piece of this rank's shard that has an element of the slab; null where it is another's.
inline const Piece* piece_with(const ParameterSet& parameters, Placement placement, Index element) {
  for (const Piece& piece : parameters.shard(placement))
    if (element >= piece.elements.first && element < piece.elements.last) return &piece;
  return nullptr;
}

/// Node `node` of a parameter's gradient.
inline std::vector<float> read_gradient(const ParameterSet& parameters, const Parameter& p, std::size_t node) {
  return read_units(parameters.gradients(p.placement).data() + node * parameters.slab_size(p.placement), p);
}

/// Its nodes added in order.
inline std::vector<float> node_sum(const ParameterSet& parameters, const Parameter& p) {
  std::vector<float> sum(elements(p), 0.0f);
  for (std::size_t node = 0; node < parameters.nodes(p.placement).size(); ++node) {
    const auto part = read_gradient(parameters, p, node);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += part[i];
  }
  return sum;
}

/// All nodes of all gradients of a placement become `value`, but for what fills units up.
inline void fill_gradients(const ParameterSet& parameters, Placement placement, float value) {
  for (const Parameter& p : parameters.all())
    for (std::size_t node = 0; p.placement == placement && node < parameters.nodes(placement).size(); ++node)
      write_units(parameters.gradients(placement).data() + node * parameters.slab_size(placement), p,
                  std::vector<float>(elements(p), value));
}

/// Replicated or expert tensors, normal with deviation `std`, for a store of one's own.
inline TensorSpec tensor(const std::string& name, std::vector<std::int64_t> shape,
                         Placement placement = Placement::replicated, double std = 0.02) {
  TensorSpec t;
  t.name = name;
  t.shape = std::move(shape);
  t.placement = placement;
  t.init_std = std;
  return t;
}

/// The tensors of a model whose names begin with `prefix`.
inline std::vector<TensorSpec> tensors_of(const Config& config, const std::string& prefix) {
  std::vector<TensorSpec> part;
  for (const TensorSpec& t : architecture(config))
    if (t.name.starts_with(prefix)) part.push_back(t);
  return part;
}

}  // namespace switchyard::test
