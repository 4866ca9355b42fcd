// "HDF5 File Format Specification Version 3.0": II.A the superblock, IV.A.1.b the header of an object.
#include "hdf5/times.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/check.hpp"
#include "base/files.hpp"

namespace switchyard::hdf5 {
namespace {

constexpr std::size_t extension_at = 20, times_at = 6, times_bytes = 16;  // in a superblock 2 or 3; in a header 2
constexpr unsigned has_times = 0x20, has_phases = 0x10, size_mask = 0x03;

using Page = std::array<unsigned char, 4096>;

/// The sum of HDF5's structure: Bob Jenkins' lookup3 (2006), bytes taken as little-endian words.
std::uint32_t lookup3(const unsigned char* key, std::size_t length) {
  std::uint32_t a = 0xdeadbeef + static_cast<std::uint32_t>(length), b = a, c = a;
  const auto turn = [](std::uint32_t x, int by) { return std::rotl(x, by); };
  const auto add = [&](std::size_t bytes) {
    std::array<std::uint32_t*, 3> words{&a, &b, &c};
    for (std::size_t i = 0; i < bytes; ++i) *words[i / 4] += std::uint32_t{key[i]} << (8 * (i % 4));
  };
  for (; length > 12; length -= 12, key += 12) {
    add(12);
    a -= c, a ^= turn(c, 4), c += b, b -= a, b ^= turn(a, 6), a += c;
    c -= b, c ^= turn(b, 8), b += a, a -= c, a ^= turn(c, 16), c += b;
    b -= a, b ^= turn(a, 19), a += c, c -= b, c ^= turn(b, 4), b += a;
  }
  if (length == 0) return c;
  add(length);
  c ^= b, c -= turn(b, 14), a ^= c, a -= turn(c, 11), b ^= a, b -= turn(a, 25), c ^= b, c -= turn(b, 16);
  a ^= c, a -= turn(c, 4), b ^= a, b -= turn(a, 14), c ^= b, c -= turn(b, 24);
  return c;
}

template <class T>
T number_at(const Page& page, std::size_t at) {
  T value{};
  std::memcpy(&value, page.data() + at, sizeof value);
  return value;
}

/// Puts 0 in place of the times of the header at `at`, and its sum anew; whether there were any.
bool settle(Page& page, std::size_t at) {
  if (at + 32 > page.size() || std::memcmp(page.data() + at, "OHDR\2", 5) != 0) return false;
  const unsigned flags = page[at + 5], width = 1U << (flags & size_mask);
  if (!(flags & has_times) || (flags & has_phases) || width > 4) return false;
  std::uint32_t bytes = 0;
  std::memcpy(&bytes, page.data() + at + times_at + times_bytes, width);
  const std::size_t length = times_at + times_bytes + width + bytes;
  if (at + length + 4 > page.size()) return false;
  expect(lookup3(page.data() + at, length) == number_at<std::uint32_t>(page, at + length),
         "the sum of a file that was written");
  std::memset(page.data() + at + times_at, 0, times_bytes);
  const std::uint32_t sum = lookup3(page.data() + at, length);
  std::memcpy(page.data() + at + length, &sum, sizeof sum);
  return true;
}

}  // namespace

void settle_times(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (file < 0) files::throw_system_error(errno, "open", path);
  Page page{};
  const auto whole = static_cast<ssize_t>(page.size());
  const ssize_t read = ::pread(file, page.data(), page.size(), 0);
  bool failed = read < 0;  // a smaller file is none of ours
  if (read == whole && settle(page, number_at<std::uint64_t>(page, extension_at)))
    failed = ::pwrite(file, page.data(), page.size(), 0) != whole;
  const int error = errno;
  ::close(file);
  if (failed) files::throw_system_error(error, "write", path);
}

}  // namespace switchyard::hdf5
