// Memory of rooms that other ranks of the node may read where it lies, for the transport `window`, and of their twins
// on the host of a device build.
#pragma once
#include <cstdint>
#include <memory>

namespace switchyard {

/// `bytes` of base/shared_memory.hpp, of which Kokkos's tools are told as of Kokkos's own; nullptr where nobody wants
/// such memory, or the system gives none: that is said once, since rows then leave by MPI.
std::shared_ptr<void> make_shared_room(const char* label, std::int64_t bytes);

/// Memory of this process alone, page-locked.
std::shared_ptr<void> make_locked_room(const char* label, std::int64_t bytes);

/// Memory that others may read, or such memory; page-locked, so that a device copies to and from it by itself.
std::shared_ptr<void> make_staging_room(const char* label, std::int64_t bytes);

}  // namespace switchyard
