// JSON that others made or that is damaged: every member is what it should be, once, or the file is named as damaged.
#include "base/json.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace switchyard {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min(),
                       largest = std::numeric_limits<std::int64_t>::max();

/// What `parse` makes of `text`, or the message of the Error{corrupt}, of which the file's name is taken off.
template <class Parse>
std::string result_of(const std::string& text, const Parse& parse) {
  try {
    return parse_json(text, "dir/f.json", "; use another", [&](const Json& j) { return std::to_string(parse(j)); });
  } catch (const Error& error) {
    const std::string message = error.what(), head = "dir/f.json is damaged (", tail = "); use another";
    EXPECT_EQ(error.code(), Exit::corrupt) << text;
    EXPECT_TRUE(message.starts_with(head) && message.ends_with(tail)) << message;
    return message.substr(head.size(), message.size() - head.size() - tail.size());
  }
}

TEST(Json, WholeNumbersAreInTheirRangeOrRefused) {
  const struct {
    const char* value;
    std::int64_t min, max;
    bool good;
  } rows[] = {
      {"5", 5, 5, true},
      {"4", 5, 5, false},
      {"6", 5, 5, false},
      {"0", 0, largest, true},
      {"-0", 0, 0, true},
      {"-1", 0, largest, false},
      {"9223372036854775807", least, largest, true},
      {"9223372036854775808", least, largest, false},   // 2^63 would be cut to the least
      {"18446744073709551615", least, largest, false},  // would be cut to -1
      {"18446744073709551616", least, largest, false},  // the parser makes it a double
      {"-9223372036854775808", least, largest, true},
      {"-9223372036854775809", least, largest, false},
      {"5.0", 0, 9, false},
      {"5e0", 0, 9, false},
      {"1e400", 0, 9, false},
      {"\"5\"", 0, 9, false},
      {"true", 0, 9, false},
      {"null", 0, 9, false},
      {"[5]", 0, 9, false},
      {"{}", 0, 9, false},
  };
  for (const auto& [value, min, max, good] : rows) {
    const std::string text = std::string("{\"n\": ") + value + "}";
    const std::string found =
        result_of(text, [&, min = min, max = max](const Json& j) { return whole(j, "n", min, max); });
    if (good)
      EXPECT_EQ(found, std::to_string(std::strtoll(value, nullptr, 10))) << value;
    else if (std::string(value) != "1e400")  // the parser's own complaint
      EXPECT_TRUE(found.starts_with("n is ") &&
                  found.ends_with(", not a whole number from " + std::to_string(min) + " to " + std::to_string(max)))
          << value << ": " << found;
    else
      EXPECT_NE(found.find("number overflow"), std::string::npos) << found;
  }
}

TEST(Json, SeedsAreAllNumbersOf64Bits) {
  const auto seed = [](const std::string& value) {
    return result_of("{\"seed\": " + value + "}", [](const Json& j) { return seed_of(j); });
  };
  for (const char* good : {"0", "1", "9223372036854775808", "18446744073709551615"}) EXPECT_EQ(seed(good), good);
  for (const char* bad : {"-1", "1.5", "18446744073709551616", "\"7\"", "null"})
    EXPECT_TRUE(seed(bad).ends_with(", no seed")) << bad << ": " << seed(bad);
}

TEST(Json, MembersStandOnce) {
  const auto twice = [](const std::string& text) { return result_of(text, [](const Json& j) { return j.size(); }); };
  for (const auto& [text, size] :
       {std::pair(R"({"a": {"a": 1}, "b": {"a": 1}})", "2"), std::pair(R"([{"a": 1}, {"a": 1}])", "2"),
        std::pair(R"({"a": 1, "A": 1})", "2"), std::pair(R"({"a": ["a", "a"], "": 1})", "2"), std::pair("{}", "0")})
    EXPECT_EQ(twice(text), size) << text;
  for (const auto& [text, member] :
       {std::pair(R"({"a": 1, "a": 1})", "\"a\""), std::pair(R"({"a": 1, "b": {}, "a": 1})", "\"a\""),
        std::pair(R"({"x": {"y": [0, {"b": 1, "c": {"b": 1}, "b": 2}]}})", "\"b\""),
        std::pair(R"({"a": 1, "\u0061": 1})", "\"a\""), std::pair(R"({"": 1, "": 1})", "\"\""),
        std::pair("{\"\xc3\xa4\": 1, \"\\u00e4\": 1}", "\"\\u00e4\"")})
    EXPECT_EQ(twice(text), std::string("it has the member ") + member + " twice") << text;
}

TEST(Json, WhatIsNoJsonIsDamage) {
  std::string deep(100000, '[');
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("{}x"), std::string("{\"n\": 01}"), std::string("{'n': 1}"),
        std::string("{\"n\": 1,}"), std::string("{\"n\": NaN}"), std::string("{\"n\": \"\xff\"}"),
        std::string("{\"n\": 1}\0", 9), std::string("{\"n\": 1}\0x", 10), std::string("{\"n\"\0: 1}", 9),
        std::string("{\"n\": \"a\nb\"}"), deep})
    EXPECT_NE(result_of(text, [](const Json& j) { return whole(j, "n", 0, 1); }), "1") << text.substr(0, 20);
  EXPECT_NE(result_of("{}", [](const Json& j) { return whole(j, "n", 0, 1); }).find("'n' not found"),
            std::string::npos);
  EXPECT_NE(result_of("[]", [](const Json& j) { return whole(j, "n", 0, 1); }), "1");
  EXPECT_NE(result_of("{\"n\": 1}", [](const Json& j) { return j.at("n").get<std::string>().size(); }), "1");
}

// What the parse function itself finds is not of the file's form.
TEST(Json, OtherErrorsPass) {
  try {
    parse_json("{}", "f", "", [](const Json&) -> int { throw Error(Exit::busy, "own words"); });
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Exit::busy);
    EXPECT_STREQ(error.what(), "own words");
  }
}

TEST(Json, LongValuesAreShownCut) {
  EXPECT_EQ(shown(Json(std::string(38, 'x'))), "\"" + std::string(38, 'x') + "\"");
  EXPECT_EQ(shown(Json(std::string(39, 'x'))), "\"" + std::string(39, 'x') + "…");
  EXPECT_EQ(shown(Json("\n\x7f")), "\"\\n\\u007f\"") << "no control character reaches a terminal";
}

}  // namespace
}  // namespace switchyard
