// What the kernels of an update run over: blocks of unit_block elements, all parameters in one launch.
#pragma once
#include <cstdint>
#include <vector>

#include "tensor/parameter.hpp"

namespace switchyard::train {

/// What an update knows of parameters apart: without and with weight decay, and routers, which have a rate of their
/// own.
enum UpdateKind : std::int32_t { plain_kind, decaying_kind, router_kind, update_kinds };

inline UpdateKind kind_of(const TensorSpec& t) {
  return t.role == Role::router ? router_kind : t.decay ? decaying_kind : plain_kind;
}

/// A block of a slab that this rank updates.
struct alignas(16) UpdateBlock {
  std::int32_t at;       ///< its number in the slabs of values and gradients
  std::int32_t moments;  ///< and in those of the moments
  std::int32_t placement;
  std::int32_t kind;  ///< an UpdateKind
};

/// This rank's blocks of all parameters that a step changes, in order of declaration.
inline std::vector<UpdateBlock> update_blocks(const ParameterSet& parameters) {
  std::vector<UpdateBlock> blocks;
  for (const Parameter& p : parameters.all())
    for (const Piece& piece : parameters.shard(p.placement)) {
      const Range mine = common(piece.elements, {p.offset, p.offset + p.span()});
      if (!p.updated()) continue;
      for (Index i = mine.first; i < mine.last; i += unit_block)
        blocks.push_back({static_cast<std::int32_t>(i / unit_block),
                          static_cast<std::int32_t>((piece.at + i - piece.elements.first) / unit_block),
                          static_cast<std::int32_t>(p.placement), kind_of(p)});
    }
  return blocks;
}

/// The blocks of one unit among update_blocks, where those are not cut into shards.
struct UnitBlocks {
  std::int32_t first, count;
};

/// Of all local units, in order of declaration.
inline std::vector<UnitBlocks> unit_blocks(const ParameterSet& parameters) {
  std::vector<UnitBlocks> units;
  std::int32_t first = 0;
  for (const Parameter& p : parameters.all())
    for (Index u = 0; p.updated() && u < p.local_units(); ++u) {
      units.push_back({first, static_cast<std::int32_t>(p.stride / unit_block)});
      first += units.back().count;
    }
  return units;
}

/// A table of a host in device memory.
template <class T>
Vector<T> to_device(const char* label, const std::vector<T>& table) {
  const auto device = make_view<Vector<T>>(label, table.size());
  Kokkos::deep_copy(device, HostVector<const T>(table.data(), table.size()));
  return device;
}

}  // namespace switchyard::train
