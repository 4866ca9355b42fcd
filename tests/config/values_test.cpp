// Values as text: what is read is a number, a name or a text by the book, what is written reads back the same.
#include "config/values.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <regex>

#include "config/options.hpp"
#include "config/yaml.hpp"

namespace switchyard {
namespace {

/// Calls f with every text of at most `longest` of these characters.
void each_text(const std::string& characters, std::size_t longest, const std::function<void(const std::string&)>& f) {
  std::vector<std::string> texts{""};
  for (std::size_t i = 0; i < texts.size(); ++i) {
    f(texts[i]);
    if (texts[i].size() == longest) continue;
    for (const char c : characters) texts.push_back(texts[i] + c);
  }
}

TEST(Values, IntegersAreJsonsIntegers) {
  const std::regex integer("-?(0|[1-9][0-9]*)");
  each_text("017-+ex._ ", 4, [&](const std::string& text) {
    int value = 77;
    const std::string wrong = parse_value(text, value);
    const bool good = std::regex_match(text, integer);
    ASSERT_EQ(wrong.empty(), good) << text << ": " << wrong;
    ASSERT_EQ(value, good ? std::atoi(text.c_str()) : 77) << text;
  });
}

// The grammar of another program, and the C library's value.
TEST(Values, NumbersAreJsonsNumbers) {
  each_text("019-+.eE", 5, [&](const std::string& text) {
    double value = 77.0;
    const std::string wrong = parse_value(text, value);
    const bool good = nlohmann::json::accept(text) || (wrong.ends_with("out of range of a double") &&
                                                       !std::isfinite(std::strtod(text.c_str(), nullptr)));
    if (wrong.empty() || !good) {
      ASSERT_EQ(wrong.empty(), good) << text << ": " << wrong;
      ASSERT_EQ(value, good ? std::strtod(text.c_str(), nullptr) : 77.0) << text;
    }
  });
}

template <class T>
std::string read(const std::string& text) {
  T value = 1;
  const std::string wrong = parse_value(text, value);
  return wrong.empty() ? format_value(value) : wrong;
}

TEST(Values, TheEndsOfEachTypeAreReadAndNoFurther) {
  const std::string i32 = " is out of range; must be in [-2147483648, 2147483647]",
                    i64 = " is out of range; must be in [-9223372036854775808, 9223372036854775807]",
                    u64 = " is out of range; must be in [0, 18446744073709551615]";
  for (const std::string text : {"2147483647", "-2147483648", "0"}) EXPECT_EQ(read<int>(text), text);
  for (const std::string text : {"2147483648", "-2147483649", "4294967296", "99999999999999999999"})
    EXPECT_EQ(read<int>(text), text + i32);
  for (const std::string text : {"9223372036854775807", "-9223372036854775808"})
    EXPECT_EQ(read<std::int64_t>(text), text);
  for (const std::string text : {"9223372036854775808", "-9223372036854775809", "18446744073709551616"})
    EXPECT_EQ(read<std::int64_t>(text), text + i64);
  for (const std::string text : {"18446744073709551615", "0"}) EXPECT_EQ(read<std::uint64_t>(text), text);
  for (const std::string text : {"18446744073709551616", "-1"}) EXPECT_EQ(read<std::uint64_t>(text), text + u64);
  EXPECT_EQ(read<double>("1.7976931348623157e308"), "1.7976931348623157e+308");
  EXPECT_EQ(read<double>("5e-324"), "5e-324");
  EXPECT_EQ(read<double>("-0"), "-0");
  for (const std::string text : {"1.7976931348623159e308", "-1e309", "1e-400"})
    EXPECT_EQ(read<double>(text), text + " is out of range of a double");
}

TEST(Values, HintsAreTheSameNumber) {
  const std::string head = "\" is not an integer; write ";
  for (const auto& [text, hint] :
       {std::pair("1e3", "1000"), std::pair("-2.50e1", "-25"), std::pair("1E0", "1"), std::pair("-0.0", "0"),
        std::pair("999999999999999.0", "999999999999999"), std::pair("1.5e-1", "it in decimal digits only"),
        std::pair("1e15", "it in decimal digits only"), std::pair("1e999", "it in decimal digits only"),
        std::pair("-0x10", "it in decimal digits"), std::pair("", "it in decimal digits only")})
    EXPECT_EQ(read<int>(text), std::string("\"") + text + head + hint);
}

TEST(Values, EveryDoubleComesBack) {
  std::mt19937_64 draw(7);
  for (int i = 0; i < 100000; ++i) {
    const double value = std::bit_cast<double>(draw() >> (i % 3 ? 0 : draw() % 64));
    if (!std::isfinite(value)) continue;
    const std::string text = format_value(value);
    double back = 0.0;
    ASSERT_EQ(parse_value(text, back), "") << text;
    ASSERT_EQ(std::bit_cast<std::uint64_t>(back), std::bit_cast<std::uint64_t>(value)) << text;
    ASSERT_TRUE(nlohmann::json::accept(text)) << text;
  }
}

TEST(Values, EveryNameIsReadAsItIsWrittenAndNoOther) {
  Config config;
  int enumerations = 0;
  visit_values(config, [&]<class T>(const std::string& key, T& member) {
    if constexpr (std::is_enum_v<T>) {
      ++enumerations;
      const std::vector<std::string> names = allowed_names<T>();
      for (std::size_t i = 0; i < names.size(); ++i) {
        EXPECT_EQ(parse_value(names[i], member), "") << key;
        EXPECT_EQ(static_cast<std::size_t>(member), i) << key;
        EXPECT_EQ(format_value(member), names[i]);
        std::string upper = names[i];
        upper[0] = static_cast<char>(std::toupper(upper[0]));
        for (const std::string& bad : {upper, names[i] + " ", " " + names[i], names[i] + "x", std::string()}) {
          EXPECT_TRUE(parse_value(bad, member).ends_with(join(names))) << key << ": " << bad;
          EXPECT_EQ(static_cast<std::size_t>(member), i) << "what is refused changes nothing";
        }
      }
    }
  });
  EXPECT_GE(enumerations, 10);
}

/// The path that YAML reads from this text of a value, in lines and in braces.
std::string path_from(const std::string& value) {
  const LoadResult lines = load_text("f", "data:\n  path: " + value + "\n  seed: 7\n"),
                   braces = load_text("f", "data: {path: " + value + ", seed: 7}\n");
  for (const LoadResult* r : {&lines, &braces})
    if (!r->errors.empty()) return r->errors[0].text();
  EXPECT_EQ(lines.config.data.seed, 7u) << value;
  return lines.config.data.path == braces.config.data.path ? lines.config.data.path : "differs";
}

TEST(Values, EveryTextIsReadBackFromYaml) {
  std::string printable;
  for (char c = ' '; c < '\x7f'; ++c) printable += c;
  each_text(printable, 2, [](const std::string& text) {
    if (!text.empty()) {
      ASSERT_EQ(path_from(format_value(text)), text);
    }
  });
  std::mt19937 draw(3);
  for (int i = 0; i < 1000; ++i) {
    std::string text;
    for (int n = 3 + static_cast<int>(draw() % 10); n > 0; --n) {
      static constexpr const char* parts[] = {" ", "'", "\"", ":", "#", "-", "\\", "{", "]", ",", "a", "0", "\xc3\xa4"};
      text += parts[draw() % std::size(parts)];
    }
    ASSERT_EQ(path_from(format_value(text)), text);
    const LoadResult given = load_text("f", "", {"data.path=" + text});
    ASSERT_TRUE(given.errors.empty()) << text;
    ASSERT_EQ(given.config.data.path, text) << "a command line needs no quotes";
  }
}

TEST(Values, TextsHaveNoControlCharacters) {
  std::string value = "before";
  for (int c = 0; c < 256; ++c) {
    const std::string text{'a', static_cast<char>(c), 'b'};
    const bool good = c >= 0x20 && c < 0x7f;
    EXPECT_EQ(clean_utf8_length(text), good ? 3u : 1u) << c;
    EXPECT_EQ(parse_value(text, value), good ? "" : "byte 2 of the text is a control character or not UTF-8") << c;
    EXPECT_EQ(value, good ? text : value) << c;
  }
  EXPECT_EQ(value, "a~b") << "the last that was good";
  EXPECT_EQ(clean_utf8_length("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), 9u);
  EXPECT_EQ(clean_utf8_length("\xc3\xa4\xe2\x82"), 2u);
  EXPECT_EQ(parse_value("", value), "is empty");
}

}  // namespace
}  // namespace switchyard
