// Where UTF-8 ceases to be well-formed: RFC 3629, table of section 4, and the well-known places where decoders go
// wrong.
#include "base/utf8.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace switchyard {
namespace {

TEST(Utf8, FindsTheFirstBadByte) {
  for (const std::string text : {"", "abc", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                                 "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_EQ(first_bad_utf8(text), -1) << text;
    for (std::size_t i = 0; i < text.size(); i += utf8_length(text, i)) ASSERT_GT(utf8_length(text, i), 0u) << text;
  }
  for (const std::string bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe2\x82",
                                "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xe2\x28\xa1"}) {
    EXPECT_EQ(first_bad_utf8("ok" + bad), 2) << bad;
    EXPECT_EQ(utf8_length(bad, 0), 0u) << bad;
  }
}

/// A code point as RFC 3629, section 3, writes it.
std::string encoded(std::uint32_t c) {
  const auto low = [c](int shift) { return static_cast<char>(0x80 | (c >> shift & 0x3f)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xc0 | c >> 6), low(0)};
  if (c < 0x10000) return {static_cast<char>(0xe0 | c >> 12), low(6), low(0)};
  return {static_cast<char>(0xf0 | c >> 18), low(12), low(6), low(0)};
}

TEST(Utf8, EveryCodePointIsOneCharacterAndNothingElseIs) {
  std::set<std::string> characters;
  for (std::uint32_t c = 0; c < 0x110000; ++c) {
    const std::string text = encoded(c);
    const bool surrogate = c >= 0xd800 && c < 0xe000;
    if (!surrogate) characters.insert(characters.end(), text);
    ASSERT_EQ(utf8_length("a" + text + "b", 1), surrogate ? 0 : text.size()) << c;
    ASSERT_EQ(first_bad_utf8(text.substr(0, text.size() - 1)), text.size() == 1 ? -1 : 0) << c << " without its end";
  }
  // All texts of two bytes; of four those of which every byte is at an edge of a range.
  const auto expect_as_listed = [&](const std::string& text) {
    const std::size_t n = utf8_length(text, 0);
    ASSERT_TRUE(n == 0 || characters.contains(text.substr(0, n))) << testing::PrintToString(text);
    for (std::size_t k = 1; n == 0 && k <= text.size(); ++k)
      ASSERT_FALSE(characters.contains(text.substr(0, k))) << testing::PrintToString(text);
  };
  for (unsigned i = 0; i < 1u << 16; ++i) expect_as_listed({static_cast<char>(i >> 8), static_cast<char>(i)});
  const std::string edges("\x00\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xec\xed\xef\xf0\xf3\xf4\xf5\xff", 21);
  for (const char a : edges)
    for (const char b : edges)
      for (const char c : edges)
        for (const char d : edges) expect_as_listed({a, b, c, d});
}

}  // namespace
}  // namespace switchyard
