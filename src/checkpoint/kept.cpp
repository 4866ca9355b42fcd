#include "checkpoint/kept.hpp"

#include <limits>

#include "base/activity.hpp"
#include "base/check.hpp"

namespace switchyard::checkpoint {
namespace {

constexpr int shard_tag = 72;

int count_of(const Range& elements) {
  expect(elements.size() <= std::numeric_limits<int>::max(), "a part of a tensor of less than 2^31 elements");
  return static_cast<int>(elements.size());
}

/// Calls visit(part, at) for the elements that the pieces have of a range, and where in their slab these are.
template <class Visit>
void for_common(const std::vector<Piece>& pieces, const Range& elements, const Visit& visit) {
  for (const Piece& piece : pieces)
    if (const Range part = common(piece.elements, elements); part.size() > 0)
      visit(part, piece.at + part.first - piece.elements.first);
}

HostPart reserved(HostPart& memory, Index elements) {
  if (static_cast<Index>(memory.size()) < elements)
    memory = {}, memory = make_view<HostPart>("checkpoint::collected", elements);
  return HostPart(memory.data(), elements);
}

/// Where it is, or in `memory` where that is a device's.
HostPart seen_by_host(const Vector<float>& part, HostPart& memory) {
  if (on_host) return HostPart(part.data(), part.extent(0));
  const HostPart host = reserved(memory, static_cast<Index>(part.extent(0)));
  Kokkos::deep_copy(host, part);
  return host;
}

}  // namespace

Index collected_elements(const comm::Groups& groups, const ParameterSet& parameters, Placement placement, Index part) {
  const bool first = owners_of(groups, placement).rank() == 0;
  const bool needed = on_host ? first && parameters.sharded() : first || parameters.sharded();
  return needed ? part : 0;
}

const comm::Communicator& owners_of(const comm::Groups& groups, Placement placement) {
  return placement == Placement::replicated ? groups.world : groups.expert_data;
}

bool is_sharded(const ParameterSet& parameters, std::size_t kind) { return kind > 0 && parameters.sharded(); }

Vector<float> slab(const ParameterSet& parameters, Placement placement, std::size_t kind) {
  if (kind == 0) return parameters.values(placement);
  return kind == 1 ? parameters.first_moments(placement) : parameters.second_moments(placement);
}

std::vector<Piece> pieces_of(const ParameterSet& parameters, Placement placement, std::size_t kind, int owner) {
  if (is_sharded(parameters, kind)) return parameters.shard_of(placement, owner);
  return {{{0, parameters.slab_size(placement)}, 0}};
}

HostPart collect(const comm::Groups& groups, const ParameterSet& parameters, Placement placement, std::size_t kind,
                 const Range& elements, HostPart& memory) {
  const comm::Communicator& owners = owners_of(groups, placement);
  const Vector<float> slab_of_kind = slab(parameters, placement, kind);
  const auto kept = [&](Index at, Index n) { return Vector<float>(slab_of_kind.data() + at, n); };
  if (!is_sharded(parameters, kind))
    return owners.rank() == 0 ? seen_by_host(kept(elements.first, elements.size()), memory) : HostPart();
  if (owners.rank() > 0) {
    for_common(parameters.shard(placement), elements, [&](const Range& part, Index at) {
      const HostPart mine = seen_by_host(kept(at, part.size()), memory);
      const activity::Waiting waiting(owners.member(0), activity::Wait::messages);
      comm::check_mpi(MPI_Send(mine.data(), count_of(part), MPI_FLOAT, 0, shard_tag, owners.handle()));
    });
    return {};
  }
  const HostPart all = reserved(memory, elements.size());
  for (int owner = 0; owner < owners.size(); ++owner)
    for_common(parameters.shard_of(placement, owner), elements, [&](const Range& part, Index at) {
      float* to = all.data() + part.first - elements.first;
      if (owner == 0) return Kokkos::deep_copy(HostPart(to, part.size()), kept(at, part.size()));
      const activity::Waiting waiting(owners.member(owner), activity::Wait::messages);
      comm::check_mpi(MPI_Recv(to, count_of(part), MPI_FLOAT, owner, shard_tag, owners.handle(), MPI_STATUS_IGNORE));
    });
  return all;
}

}  // namespace switchyard::checkpoint
