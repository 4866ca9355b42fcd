#include "moe/resident_rows.hpp"

namespace switchyard::moe {

/// Integers: in whatever order they are added.
void order_resident(const Queue& queue, const ResidentRows& ordered) {
  const Index pieces = ordered.begins.extent(0), items = pieces * ordered.begins.extent(1);
  using Team = Kokkos::TeamPolicy<Device>;
  tick();
  Kokkos::parallel_for(
      "switchyard::moe::plan::order_resident", Team(queue.space(), 1, on_host ? 1 : 256),
      KOKKOS_LAMBDA(const Team::member_type& team) {
        Kokkos::parallel_scan(Kokkos::TeamThreadRange(team, items), [&](Index i, std::int32_t& before, bool last) {
          const std::int32_t of_item = ordered.total(i % pieces, i / pieces);
          if (last) ordered.write(i, before, of_item);
          before += of_item;
        });
        team.team_barrier();
        const Index rows = ordered.offsets[ordered.begins.extent(1)];
        Kokkos::parallel_for(Kokkos::TeamThreadRange(team, rows, ordered.capacity),
                             [&](Index row) { ordered.token[row] = 0; });
      });
}

}  // namespace switchyard::moe
