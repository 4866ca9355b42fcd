// Memory of this process that other processes of this machine read where it lies. It has no name, so that nothing is
// left of it however a process ends, and no folder, so that no small /dev/shm limits it. By one thread only.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>

namespace switchyard::shared_memory {

/// Where bytes of such memory lie, for another process.
struct Place {
  std::int32_t file = -1;  ///< its number in the process that has it, while it has it
  std::int64_t block = 0;  ///< no two blocks of one process have the same
  std::int64_t block_bytes = 0;
  std::int64_t first = 0;  ///< byte of the block
};

/// `bytes` zeros (at least 1), whole pages; nullptr where the system gives none. Pages cost memory once they are used,
/// or locked for a device.
std::shared_ptr<void> make(std::int64_t bytes);
/// Where [data, data + bytes) lies in a block that make() gave and that is alive.
std::optional<Place> find(const void* data, std::int64_t bytes);

/// While one of these lives, memory that rows leave from is to be made here.
class Wanted {
 public:
  Wanted();
  Wanted(const Wanted&) = delete;
  ~Wanted();
};
bool wanted();

/// Reads blocks of another process, each of which it maps when it first meets it.
class Reader {
 public:
  explicit Reader(std::int64_t process) : process_(process) {}
  Reader(Reader&&) = default;
  ~Reader();
  /// nullptr where the process has no such block, as after its end, or may not be looked into.
  const std::byte* at(const Place& place);

 private:
  struct Mapped {
    std::int64_t block, bytes;
    const std::byte* data;
  };
  std::int64_t process_;
  std::map<std::int32_t, Mapped> by_file_;  // a file with another block in it is another file of the same number
};

}  // namespace switchyard::shared_memory
