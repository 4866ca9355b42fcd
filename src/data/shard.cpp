#include "data/shard.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.hpp"

namespace switchyard::data {
namespace {

constexpr std::int64_t llmc_header = llmc_header_words * 4;

std::string size_text(std::int64_t found, std::int64_t wanted) {
  return "has " + std::to_string(found) + " bytes, but " + std::to_string(wanted) + " were expected";
}

}  // namespace

MappedFile::MappedFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  check(fd >= 0, Exit::usage, path + ": cannot be opened (" + std::strerror(errno) + ")");
  struct stat status = {};
  const bool known = ::fstat(fd, &status) == 0;
  bytes_ = known ? status.st_size : 0;
  void* mapped = bytes_ > 0 ? ::mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, fd, 0) : nullptr;
  const int error = errno;
  ::close(fd);
  check(known && mapped != MAP_FAILED, Exit::usage, path + ": cannot be mapped (" + std::strerror(error) + ")");
  data_ = static_cast<const unsigned char*>(mapped);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<unsigned char*>(data_), bytes_);
}

Shard::Shard(MappedFile file, std::string path, int token_bits, std::int64_t header_bytes, std::int64_t tokens)
    : file_(std::move(file)), path_(std::move(path)), bytes_(token_bits / 8), header_(header_bytes), tokens_(tokens) {}

Shard Shard::open(const std::string& path, int token_bits, std::int64_t tokens) {
  MappedFile file(path);
  const std::int64_t wanted = tokens * token_bits / 8;
  check(file.bytes() == wanted, Exit::corrupt,
        path + ": " + size_text(file.bytes(), wanted) + "; build the corpus again");
  return Shard(std::move(file), path, token_bits, 0, tokens);
}

Shard Shard::open_llmc(const std::string& path) {
  MappedFile file(path);
  check(file.bytes() >= llmc_header, Exit::corrupt,
        path + ": " + size_text(file.bytes(), llmc_header) + " for the header alone; the file is truncated");
  std::int32_t head[3];
  std::memcpy(head, file.data(), sizeof head);
  check(head[0] == llmc_magic, Exit::usage,
        path + ": byte 0: magic " + std::to_string(head[0]) + ", expected " + std::to_string(llmc_magic) +
            " (a GPT-2 shard of llm.c)");
  check(head[1] == llmc_version, Exit::usage,
        path + ": byte 4: version " + std::to_string(head[1]) + ", expected " + std::to_string(llmc_version));
  const std::int64_t wanted = llmc_header + std::int64_t{head[2]} * 2;
  check(head[2] >= 0 && file.bytes() == wanted, Exit::corrupt,
        path + ": byte 8 promises " + std::to_string(head[2]) + " tokens: " + size_text(file.bytes(), wanted));
  check(head[2] >= 2, Exit::usage,
        path + ": byte 8 promises " + std::to_string(head[2]) + (head[2] == 1 ? " token" : " tokens") +
            ", but two are needed: a token and the one that follows it");
  return Shard(std::move(file), path, 16, llmc_header, head[2]);
}

void Shard::read(std::int64_t first, std::int64_t count, int vocabulary, std::int32_t* out) const {
  const unsigned char* from = file_.data() + header_ + first * bytes_;
  std::int64_t bad = -1;
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint32_t id = 0;
    std::memcpy(&id, from + i * bytes_, bytes_);
    if (id >= static_cast<std::uint32_t>(vocabulary) && bad < 0) bad = i;
    out[i] = static_cast<std::int32_t>(id);
  }
  if (bad < 0) return;
  throw Error(Exit::corrupt, path_ + ": byte " + std::to_string(header_ + (first + bad) * bytes_) + ": token " +
                                 std::to_string(static_cast<std::uint32_t>(out[bad])) +
                                 " is outside the vocabulary of " + std::to_string(vocabulary));
}

}  // namespace switchyard::data
