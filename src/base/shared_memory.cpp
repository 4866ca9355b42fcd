#include "base/shared_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <string>

namespace switchyard::shared_memory {
namespace {

struct Block {
  int file;
  std::int64_t number, bytes;
};

/// The blocks that are alive, by their first byte.
std::map<const std::byte*, Block, std::less<>> blocks;
std::int64_t made = 0;
int wishes = 0;

void give_back(void* data) {
  const auto found = blocks.find(static_cast<const std::byte*>(data));
  ::munmap(data, static_cast<std::size_t>(found->second.bytes));
  ::close(found->second.file);
  blocks.erase(found);
}

void* map(int file, std::int64_t bytes, int protection) {
  return ::mmap(nullptr, static_cast<std::size_t>(bytes), protection, MAP_SHARED, file, 0);
}

}  // namespace

std::shared_ptr<void> make(std::int64_t bytes) {
  const int file = ::memfd_create("switchyard", MFD_CLOEXEC);
  if (file < 0) return nullptr;
  void* data = ::ftruncate(file, bytes) == 0 ? map(file, bytes, PROT_READ | PROT_WRITE) : MAP_FAILED;
  if (data == MAP_FAILED) {
    ::close(file);
    return nullptr;
  }
  blocks[static_cast<const std::byte*>(data)] = {file, ++made, bytes};
  return {data, give_back};
}

std::optional<Place> find(const void* data, std::int64_t bytes) {
  const auto* first = static_cast<const std::byte*>(data);
  auto block = blocks.upper_bound(first);
  if (block == blocks.begin()) return {};
  --block;
  const std::int64_t offset = first - block->first;
  if (offset > block->second.bytes - bytes) return {};
  return Place{block->second.file, block->second.number, block->second.bytes, offset};
}

Wanted::Wanted() { ++wishes; }
Wanted::~Wanted() { --wishes; }
bool wanted() { return wishes > 0; }

Reader::~Reader() {
  for (const auto& [file, mapped] : by_file_)
    ::munmap(const_cast<std::byte*>(mapped.data), static_cast<std::size_t>(mapped.bytes));
}

const std::byte* Reader::at(const Place& place) {
  const auto known = by_file_.find(place.file);
  if (known != by_file_.end() && known->second.block == place.block) return known->second.data + place.first;
  const std::string name = "/proc/" + std::to_string(process_) + "/fd/" + std::to_string(place.file);
  const int file = ::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // where that is another's FIFO
  if (file < 0) return nullptr;
  struct stat is {};
  const bool whole = ::fstat(file, &is) == 0 && is.st_size >= place.block_bytes;  // in another one pages may be missing
  void* data = whole ? map(file, place.block_bytes, PROT_READ) : MAP_FAILED;
  ::close(file);
  if (data == MAP_FAILED) return nullptr;
  if (known != by_file_.end())
    ::munmap(const_cast<std::byte*>(known->second.data), static_cast<std::size_t>(known->second.bytes));
  by_file_[place.file] = {place.block, place.block_bytes, static_cast<const std::byte*>(data)};
  return static_cast<const std::byte*>(data) + place.first;
}

}  // namespace switchyard::shared_memory
