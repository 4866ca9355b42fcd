#include "moe/resident_rows.hpp"

namespace switchyard::moe {
namespace {

KOKKOS_INLINE_FUNCTION std::int32_t rows_of(const ResidentRows& r, Index e) {
  std::int32_t rows = 0;
  for (Index g = 0; g < static_cast<Index>(r.begins.extent(0)); ++g) rows += r.total(g, e);
  return rows;
}

/// Those of an expert, before which there are so many rows.
KOKKOS_INLINE_FUNCTION void write(const ResidentRows& r, Index e, std::int32_t before) {
  r.offsets[e] = before;
  for (Index g = 0; g < static_cast<Index>(r.begins.extent(0)); ++g) {
    r.begins(g, e) = before;
    before += r.total(g, e);
  }
  if (e + 1 == static_cast<Index>(r.begins.extent(1))) r.offsets[e + 1] = before;
}

}  // namespace

/// Integers: in whatever order they are added.
void order_resident(const Queue& queue, const ResidentRows& ordered) {
  const Index experts = ordered.begins.extent(1);
  using Team = Kokkos::TeamPolicy<Device>;
  tick();
  Kokkos::parallel_for(
      "switchyard::moe::plan::order_resident", Team(queue.space(), 1, on_host ? 1 : 256),
      KOKKOS_LAMBDA(const Team::member_type& team) {
        Kokkos::parallel_scan(Kokkos::TeamThreadRange(team, experts), [&](Index e, std::int32_t& before, bool last) {
          if (last) write(ordered, e, before);
          before += rows_of(ordered, e);
        });
        team.team_barrier();
        const Index rows = ordered.offsets[experts];
        Kokkos::parallel_for(Kokkos::TeamThreadRange(team, rows, ordered.capacity),
                             [&](Index row) { ordered.token[row] = 0; });
      });
}

}  // namespace switchyard::moe
