// Well-formed UTF-8 (RFC 3629).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace switchyard {

/// Bytes of the character that starts at text[i]; 0 where it is malformed, overlong, a surrogate or beyond U+10FFFF.
std::size_t utf8_length(const std::string& text, std::size_t i);

/// Offset of the first byte that is part of no well-formed character; −1 where all are.
std::int64_t first_bad_utf8(const std::string& text);

}  // namespace switchyard
