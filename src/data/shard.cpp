#include "data/shard.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "base/check.hpp"
#include "base/checked.hpp"
#include "base/files.hpp"
#include "data/manifest.hpp"

namespace switchyard::data {
namespace {

constexpr std::int64_t llmc_header = llmc_header_words * 4;

std::string size_text(std::int64_t found, Checked wanted) {
  return "has " + std::to_string(found) + " bytes, but " + to_string(wanted) + " were expected";
}

}  // namespace

ShardFile::ShardFile(const std::string& path) : path_(path) {
  require_regular(path);
  fd_ = files::open_regular(path);
  struct stat status {};
  if (::fstat(fd_, &status) != 0) files::throw_system_error(errno, "read", path);
  bytes_ = status.st_size;
}

ShardFile::ShardFile(ShardFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), bytes_(other.bytes_) {}

ShardFile::~ShardFile() {
  if (fd_ >= 0) ::close(fd_);
}

void ShardFile::read(std::int64_t offset, std::int64_t bytes, void* out) const {
  for (std::int64_t done = 0; done < bytes;) {
    const ssize_t n = ::pread(fd_, static_cast<char*>(out) + done, bytes - done, offset + done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) files::throw_system_error(errno, "read", path_);
    check(n > 0, Exit::corrupt,
          path_ + " ends at byte " + std::to_string(offset + done) + " (it was cut while it was open, from " +
              std::to_string(bytes_) + " bytes); build the corpus again");
    done += n;
  }
}

Shard::Shard(ShardFile file, int token_bits, std::int64_t header_bytes, std::int64_t tokens)
    : file_(std::move(file)), bytes_(token_bits / 8), header_(header_bytes), tokens_(tokens) {}

Shard Shard::open(const std::string& path, int token_bits, std::int64_t tokens) {
  ShardFile file(path);
  const Checked wanted = Checked(tokens) * (token_bits / 8);
  check(wanted.fits() && file.bytes() == wanted.value(), Exit::corrupt,
        path + ": " + size_text(file.bytes(), wanted) + "; build the corpus again");
  return Shard(std::move(file), token_bits, 0, tokens);
}

Shard Shard::open_llmc(const std::string& path) {
  ShardFile file(path);
  check(file.bytes() >= llmc_header, Exit::corrupt,
        path + ": " + size_text(file.bytes(), llmc_header) + " for the header alone; the file is truncated");
  std::int32_t head[3];
  file.read(0, sizeof head, head);
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
  return Shard(std::move(file), 16, llmc_header, head[2]);
}

void Shard::read(std::int64_t first, std::int64_t count, int vocabulary, std::int32_t* out) const {
  std::vector<unsigned char> raw(count * bytes_);
  file_.read(header_ + first * bytes_, count * bytes_, raw.data());
  std::int64_t bad = -1;
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint32_t id = 0;
    std::memcpy(&id, raw.data() + i * bytes_, bytes_);
    if (id >= static_cast<std::uint32_t>(vocabulary) && bad < 0) bad = i;
    out[i] = static_cast<std::int32_t>(id);
  }
  if (bad < 0) return;
  throw Error(Exit::corrupt, file_.path() + ": byte " + std::to_string(header_ + (first + bad) * bytes_) + ": token " +
                                 std::to_string(static_cast<std::uint32_t>(out[bad])) +
                                 " is outside the vocabulary of " + std::to_string(vocabulary));
}

}  // namespace switchyard::data
