#include "tensor/shared_room.hpp"

#include <Kokkos_Core.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "base/shared_memory.hpp"
#include "tensor/page_lock.hpp"
#include "tensor/types.hpp"

namespace switchyard {
namespace {

Kokkos::Tools::SpaceHandle host_space() { return Kokkos::Tools::make_space_handle(Kokkos::HostSpace::name()); }

void tell_that_there_is_none() {
  static bool told = false;
  if (!told)
    std::fprintf(stderr,
                 "switchyard: note: no memory that other ranks can read (%s); rows that do not lie in such memory "
                 "travel by mpi\n",
                 std::strerror(errno));
  told = true;
}

}  // namespace

std::shared_ptr<void> make_shared_room(const char* label, std::int64_t bytes) {
  if (!shared_memory::wanted() || bytes == 0) return nullptr;
  std::shared_ptr<void> made = shared_memory::make(bytes);
  if (!made) {
    tell_that_there_is_none();
    return nullptr;
  }
  const auto size = static_cast<std::uint64_t>(bytes);
  Kokkos::Tools::allocateData(host_space(), label, made.get(), size);
  void* const data = made.get();
  return {data, [made = std::move(made), name = std::string(label), size](void* of) {
            Kokkos::Tools::deallocateData(host_space(), name, of, size);
          }};
}

std::shared_ptr<void> make_locked_room(const char* label, std::int64_t bytes) {
  const auto memory =
      std::make_shared<StagingVector<std::byte>>(make_view<StagingVector<std::byte>>(label, static_cast<Index>(bytes)));
  return {memory, memory->data()};
}

std::shared_ptr<void> make_staging_room(const char* label, std::int64_t bytes) {
  if (std::shared_ptr<void> shared = make_shared_room(label, bytes)) return page_locked(std::move(shared), bytes);
  return make_locked_room(label, bytes);
}

}  // namespace switchyard
