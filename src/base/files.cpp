#include "base/files.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>
#include <utility>
#include <vector>

#include "base/check.hpp"

namespace switchyard::files {
namespace {

/// A file descriptor that is closed with its scope.
class Descriptor {
 public:
  Descriptor(const std::string& path, int flags, const char* action)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
    if (fd_ < 0) throw_system_error(errno, action, path);
  }
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  /// The error of close() counts: network file systems report a full disk there.
  int close() { return ::close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

void write_all(int fd, const std::string& text, const std::string& path) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_system_error(errno, "write", path);
    done += static_cast<std::size_t>(n);
  }
}

/// What is missing where it should stand, or is none, is damage; a file that may not be read is for the user to mend.
[[noreturn]] void throw_read_error(int error, const std::string& action, const std::string& path) {
  if (error != ENOENT && error != ENOTDIR && error != ELOOP && error != ENXIO && error != ENODEV)
    throw_system_error(error, action, path);
  throw Error(Exit::corrupt, "cannot " + action + " " + path + " (" + std::strerror(error) + ")");
}

/// Reads a whole file in pieces of at most 1 MiB; throws what read_text throws.
template <class Take>
void for_each_piece(const std::string& path, const Take& take) {
  const int fd = open_regular(path);
  const Descriptor file(fd);
  std::vector<char> buffer(1 << 20);
  for (;;) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_read_error(errno, "read", path);
    if (n == 0) return;
    take(buffer.data(), static_cast<std::size_t>(n));
  }
}

/// A loop of links leads nowhere; other errors are of what cannot be looked at.
std::filesystem::file_type known_kind(std::filesystem::file_status status, std::error_code error,
                                      const std::string& path) {
  if (error.value() == ELOOP) return std::filesystem::file_type::not_found;
  if (error && status.type() != std::filesystem::file_type::not_found)
    throw_system_error(error.value(), "look at", path);
  return status.type();
}

/// "3f9c02d1a87be645": a name that no other process has.
std::string random_name() {
  std::random_device device;
  char text[20];
  std::snprintf(text, sizeof text, "%08x%08x", static_cast<unsigned>(device()), static_cast<unsigned>(device()));
  return text;
}

}  // namespace

bool means_full(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

bool means_lost_storage(int error) { return means_full(error) || error == EIO || error == EPIPE || error == ESTALE; }

void throw_system_error(int error, const std::string& action, const std::string& path) {
  const bool rights = error == EACCES || error == EPERM;
  throw Error(means_lost_storage(error) ? Exit::storage
              : error == ENOMEM         ? Exit::memory
                                        : Exit::usage,
              "cannot " + action + (path.empty() ? "" : " " + path) + " (" + std::strerror(error) + ")" +
                  (means_full(error) ? "; free some space and try again"
                   : rights          ? "; change its rights or those of its folder, or choose another place"
                   : error == EROFS  ? "; choose another place"
                                     : ""));
}

int open_regular(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO must not block
  if (fd < 0) throw_read_error(errno, "open", path);
  struct stat status {};
  const bool regular = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
  if (regular) return fd;
  ::close(fd);
  throw Error(Exit::corrupt, "cannot read " + path + " (it is not a regular file)");
}

std::filesystem::file_type kind_at(const std::string& path) {
  std::error_code error;
  return known_kind(std::filesystem::symlink_status(path, error), error, path);
}

std::filesystem::file_type kind_behind(const std::string& path) {
  std::error_code error;
  return known_kind(std::filesystem::status(path, error), error, path);
}

std::string aside_name(const std::string& path) {
  const std::filesystem::path whole(path);
  const std::string name = std::string(".").append(whole.filename().string()).append(".").append(random_name());
  return (whole.parent_path() / (name + ".tmp")).string();
}

bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

void require_inside(const std::string& owner, const std::string& path) {
  using enum std::filesystem::file_type;
  const std::filesystem::file_type kind = kind_at(path);
  check(
      kind != symlink, Exit::usage,
      path + " is a link (nothing is written outside of " + owner + "); put the folder there, or link all of " + owner);
  check(kind == directory || kind == not_found, Exit::usage,
        path + " is no folder; move it away, or put the folder back");
}

void make_folders(const std::string& path) {
  const std::filesystem::path whole(path);
  std::error_code error;
  if (path.empty() || std::filesystem::is_directory(whole, error)) return;
  const std::filesystem::path name = whole.has_filename() ? whole : whole.parent_path();
  make_folders(name.parent_path().string());
  if (!std::filesystem::create_directory(name, error) && error) throw_system_error(error.value(), "create", path);
  sync_folder_of(name.string());
}

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  expect(state_->context && EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1, "SHA-256 in OpenSSL");
}

Sha256::~Sha256() = default;

void Sha256::add(const void* data, std::size_t bytes) {
  expect(EVP_DigestUpdate(state_->context, data, bytes) == 1, "SHA-256 to go on");
}

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  expect(EVP_DigestFinal_ex(state_->context, digest.data(), &length) == 1, "SHA-256 to end");
  std::string text;
  for (unsigned int i = 0; i < length; ++i) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", digest[i]);
    text += digits;
  }
  return text;
}

std::string sha256_of_text(const std::string& text) {
  Sha256 sum;
  sum.add(text);
  return sum.hex();
}

std::string sha256_of_file(const std::string& path) {
  Sha256 sum;
  for_each_piece(path, [&](const char* data, std::size_t bytes) { sum.add(data, bytes); });
  return sum.hex();
}

std::string read_text(const std::string& path) {
  std::string text;
  for_each_piece(path, [&](const char* data, std::size_t bytes) { text.append(data, bytes); });
  return text;
}

std::string read_once(const std::string& path, std::size_t max_bytes) {
  const auto fail = [&] {
    throw std::filesystem::filesystem_error("read", path, std::error_code(errno, std::generic_category()));
  };
  // Opening a FIFO waits for who writes to it, but not so; reading it then does, where somebody does.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0 || ::fcntl(file.get(), F_SETFL, O_RDONLY) < 0) fail();
  std::string text;
  std::vector<char> buffer(1 << 16);
  for (ssize_t n = 1; n != 0 && text.size() <= max_bytes;) {
    n = ::read(file.get(), buffer.data(), buffer.size());
    if (n < 0 && errno != EINTR) fail();
    if (n > 0) text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return text;
}

void write_text(const std::string& path, const std::string& text) {
  const std::string aside = aside_name(path);
  Descriptor file(aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, "create");
  try {
    write_all(file.get(), text, aside);
    if (::fsync(file.get()) != 0 || file.close() != 0) throw_system_error(errno, "write", aside);
    if (std::rename(aside.c_str(), path.c_str()) != 0) throw_system_error(errno, "rename to", path);
  } catch (const Error&) {
    ::unlink(aside.c_str());
    throw;
  }
  sync_folder_of(path);
}

std::filesystem::directory_iterator entries_of(const std::string& folder) {
  std::error_code error;
  std::filesystem::directory_iterator entries(folder, error);
  if (error && error.value() != ENOENT && error.value() != ENOTDIR) throw_system_error(error.value(), "list", folder);
  return entries;
}

void sync_folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  sync_path(folder.empty() ? "." : folder);
}

void sync_path(const std::string& path) {
  const Descriptor file(path, O_RDONLY, "open");
  if (::fsync(file.get()) != 0 && errno != EINVAL && errno != ENOTSUP) throw_system_error(errno, "write", path);
}

void replace_folder(const std::string& from, const std::string& to) {
  std::error_code unreachable;
  const bool standing = std::filesystem::exists(std::filesystem::symlink_status(to, unreachable));
  if (standing && ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) != 0) {
    // A file system without exchange: for a moment only the copy under another name exists.
    const std::string old = from + ".old";
    if (std::rename(to.c_str(), old.c_str()) != 0) throw_system_error(errno, "rename", to);
    if (std::rename(from.c_str(), to.c_str()) != 0) throw_system_error(errno, "rename to", to);
    std::filesystem::rename(old, from);
  } else if (!standing && std::rename(from.c_str(), to.c_str()) != 0) {
    throw_system_error(errno, "rename to", to);
  }
  sync_path(std::filesystem::path(to).parent_path().string());
  if (standing) std::filesystem::remove_all(from);
}

}  // namespace switchyard::files
