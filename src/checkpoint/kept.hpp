// What a checkpoint holds of the slabs, wherever it is kept: values by every rank that has a parameter, moments in
// shards where the update is shared out (ZeRO-1).
#pragma once
#include "comm/groups.hpp"
#include "tensor/parameter.hpp"

namespace switchyard::checkpoint {

using HostPart = HostVector<float>;

/// The ranks that hold a placement's parameters; shards are theirs.
const comm::Communicator& owners_of(const comm::Groups& groups, Placement placement);

/// Whether each owner has a part of a kind (tensor_kinds) only.
bool is_sharded(const ParameterSet& parameters, std::size_t kind);

/// The slab of a kind, and which elements of a parameter's placement this rank keeps in it, and where.
Vector<float> slab(const ParameterSet& parameters, Placement placement, std::size_t kind);
std::vector<Piece> pieces_of(const ParameterSet& parameters, Placement placement, std::size_t kind, int owner);

/// On the first owner these elements of a kind (places in the slab of values) on the host; nothing elsewhere. The
/// others send what they have of them: all owners ask for the same elements in the same order. On a host build what the
/// rank has itself is seen where it is; shards are gathered in `memory`, which grows to what is asked for. A rank whose
/// memory is used up would leave the others waiting: where that matters `memory` has been made before.
HostPart collect(const comm::Groups& groups, const ParameterSet& parameters, Placement placement, std::size_t kind,
                 const Range& elements, HostPart& memory);

/// Elements that `memory` must have on this rank for parts of at most `part` elements.
Index collected_elements(const comm::Groups& groups, const ParameterSet& parameters, Placement placement, Index part);

}  // namespace switchyard::checkpoint
