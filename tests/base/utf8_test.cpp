// Where UTF-8 ceases to be well-formed: RFC 3629, table of section 4, and the well-known places where decoders go
// wrong.
#include "base/utf8.hpp"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace switchyard
