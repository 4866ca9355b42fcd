// Lines of .jsonl files and the documents of all files: what is kept of them, where they stand, and what is refused.
#include "data/documents.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <random>

#include "data/json_line.hpp"
#include "data/support.hpp"

namespace switchyard::data {
namespace {

using Optional = std::optional<std::string>;
constexpr std::nullopt_t none = std::nullopt;

struct Line {
  const char* name;
  std::string line;
  Optional text, domain;
  std::string error;  ///< how it begins
};

const Line table[] = {
    {"text alone", R"({"text": "a"})", "a", none, ""},
    {"both, in the other order", R"({"domain": "d", "text": "a"})", "a", "d", ""},
    {"both empty", R"({"text": "", "domain": ""})", "", "", ""},
    {"escapes", R"({"text": "\u03c0\ud83d\ude00\n\"\\\/"})", "\xcf\x80\xf0\x9f\x98\x80\n\"\\/", none, ""},
    {"a zero byte", R"({"text": "a\u0000b"})", std::string("a\0b", 3), none, ""},
    {"an escaped key is the same key", R"({"te\u0078t": "a"})", "a", none, ""},
    {"keys are case-sensitive", R"({"Text": "a"})", none, none, "no string 'text'"},
    {"members of a member are not its own", R"({"m": {"text": "x", "domain": 1}, "text": "a"})", "a", none, ""},
    {"nor those of a member that follows", R"({"text": "a", "m": {"text": "x", "domain": "y"}})", "a", none, ""},
    {"nor those within arrays", R"({"m": [{"text": "x"}, ["text"], "y"], "text": "a"})", "a", none, ""},
    {"strings of an array after the text", R"({"text": "a", "m": ["x", "y"]})", "a", none, ""},
    {"other values of every kind", R"({"n": null, "b": true, "i": -1, "u": 1, "f": 1.5e3, "text": "a"})", "a", none,
     ""},
    {"only nested", R"({"m": {"text": "x"}})", none, none, "no string 'text'"},
    {"no member", "{}", none, none, "no string 'text'"},
    {"text is a number", R"({"text": 1})", none, none, "no string 'text'"},
    {"text is negative", R"({"text": -1})", none, none, "no string 'text'"},
    {"text is a fraction", R"({"text": 0.5})", none, none, "no string 'text'"},
    {"text is null", R"({"text": null})", none, none, "no string 'text'"},
    {"text is true", R"({"text": true})", none, none, "no string 'text'"},
    {"text is an array", R"({"text": ["a"]})", none, none, "no string 'text'"},
    {"text is an object", R"({"text": {"text": "a"}})", none, none, "no string 'text'"},
    {"domain is null", R"({"text": "a", "domain": null})", "a", none, "'domain' is not a string"},
    {"domain is an array", R"({"domain": ["d"], "text": "a"})", none, none, "'domain' is not a string"},
    {"text twice", R"({"text": "a", "text": "b"})", "a", none, "'text' is given twice"},
    {"empty text twice", R"({"text": "", "text": "b"})", "", none, "'text' is given twice"},
    {"domain twice", R"({"domain": "c", "domain": "d", "text": "a"})", none, "c", "'domain' is given twice"},
    {"other keys may come twice", R"({"x": 1, "x": 2, "text": "a"})", "a", none, ""},
    {"a string", R"("text")", none, none, "not a JSON object"},
    {"an array", R"([{"text": "a"}])", none, none, "not a JSON object"},
    {"a number", "17", none, none, "not a JSON object"},
    {"null", "null", none, none, "not a JSON object"},
    {"nothing", "", none, none, "broken JSON at column "},
    {"cut in a string", R"({"text": "a)", none, none, "broken JSON at column "},
    {"two objects", R"({"text": "a"} {"text": "b"})", "a", none, "broken JSON at column 15 "},
    {"a comma too many", R"({"text": "a",})", "a", none, "broken JSON at column 14 "},
    {"a raw tab in a string", "{\"text\": \"a\tb\"}", none, none, "broken JSON at column 12 "},
    {"half a surrogate pair", R"({"text": "\ud83d"})", none, none, "broken JSON at column "},
};

TEST(JsonLine, KeepsTheStringsOfTheObjectItself) {
  for (const Line& row : table) {
    SCOPED_TRACE(row.name);
    const JsonLine got = read_json_line(row.line);
    EXPECT_EQ(got.error.empty(), row.error.empty()) << got.error;
    EXPECT_EQ(got.error.substr(0, row.error.size()), row.error);
    EXPECT_EQ(got.text, row.text);
    EXPECT_EQ(got.domain, row.domain);
  }
}

TEST(JsonLine, ReasonsAreShortAndWithoutTheLibrarysPrefix) {
  const std::string error = read_json_line("{\"text\": \"" + std::string(100000, 'x')).error;
  EXPECT_LT(error.size(), 400u);
  EXPECT_EQ(error.find("json.exception"), std::string::npos);
  EXPECT_NE(error.find("column 100011"), std::string::npos) << error;
  EXPECT_NE(error.find("mend or remove the line"), std::string::npos);
}

/// Oracle: what the library's own writer made of a value is that value again; every other prefix of it is refused.
TEST(JsonLine, WhatIsWrittenIsReadAndNoPrefixOfIt) {
  std::mt19937 random(1);
  const std::vector<std::string> pieces{"a", "\"", "\\", "\n", "π", "😀", std::string(1, '\0'), "{", "text", "\x7f"};
  for (int round = 0; round < 100; ++round) {
    std::string text, domain;
    for (unsigned i = random() % 9; i-- > 0;) text += pieces[random() % pieces.size()];
    for (unsigned i = random() % 9; i-- > 0;) domain += pieces[random() % pieces.size()];
    const nlohmann::json value{{"text", text}, {"domain", domain}, {"other", {{"text", 1}}}};
    const std::string line = value.dump(-1, ' ', round % 2 == 0);
    const JsonLine got = read_json_line(line);
    EXPECT_EQ(got.error, "") << line;
    EXPECT_EQ(got.text, text) << line;
    EXPECT_EQ(got.domain, domain) << line;
    for (std::size_t size = 0; size < line.size(); ++size)
      EXPECT_NE(read_json_line(line.substr(0, size)).error, "") << line.substr(0, size);
  }
}

struct Read {
  std::vector<std::string> documents;  ///< "DOMAIN|TEXT|OFFSET|LINE"
  std::int64_t marks = 0;
  std::string error;
};

Read read(const std::vector<Source>& sources) {
  Read result;
  Complaints complaints;
  result.marks = for_each_document(
      sources,
      [&](const TextDocument& d) {
        result.documents.push_back(d.domain + "|" + d.text + "|" + std::to_string(d.offset) + "|" +
                                   std::to_string(d.line));
      },
      complaints);
  result.error = error_of([&] { complaints.raise(); });
  return result;
}

TEST(Documents, StandWhereTheyBegin) {
  const TestFolder folder;
  const std::string mark = "\xef\xbb\xbf";
  write_file(folder / "a.txt", mark + "one\n");
  write_file(folder / "b", mark + R"({"text": "x"})" + "\r\n\n \t\r\n" + mark + R"({"text": "y", "domain": "own"})" +
                               "\n" + R"({"text": ")" + mark + R"(z", "domain": ""})");
  const Read got = read({{folder / "a.txt", "p"}, {folder / "b", "q", true}, {folder / "a.txt", "r"}});
  EXPECT_EQ(got.documents,
            (std::vector<std::string>{"p|one\n|3|0", "q|x|3|1", "own|y|26|4", "|" + mark + "z|57|5", "r|one\n|3|0"}));
  EXPECT_EQ(got.marks, 4);
  EXPECT_EQ(got.error, "");
}

TEST(Documents, BadOnesAreNamedAndTheOthersVisited) {
  const TestFolder folder;
  const std::string file = folder / "a", mark = "\xef\xbb\xbf";
  write_file(file, mark + "{\"text\": \"\xff\"}\n" + mark + "\n{\"text\": \"\"}\n{\"text\": \"good\"}\n[]\n");
  const Read got = read({{file, "d", true}});
  EXPECT_EQ(got.documents, std::vector<std::string>{"d|good|34|4"});
  std::vector<std::string> starts{"2: " + file + ": byte 13: line 1: not UTF-8; convert it or leave it out\n",
                                  file + ": byte 20: line 2: broken JSON at column 1 ",
                                  file + ": byte 21: line 3: holds no text; leave it out\n",
                                  file + ": byte 51: line 5: not a JSON object"};
  for (std::size_t i = 0; i < starts.size(); ++i)
    EXPECT_NE(got.error.find(starts[i]), std::string::npos) << starts[i] << "\nin\n" << got.error;
}

TEST(Documents, AFileOfAMarkAloneHoldsNoText) {
  const TestFolder folder;
  write_file(folder / "a", "\xef\xbb\xbf");
  EXPECT_EQ(read({{folder / "a", ""}}).error, "2: " + (folder / "a") + ": byte 3: holds no text; leave it out");
}

/// It went away since it was found: bad input, and no damage of a corpus (README, exit codes). A pipe would never end.
TEST(Documents, WhatIsNoFileAnyMoreIsBadInput) {
  const TestFolder folder;
  std::filesystem::create_directories(folder / "folder");
  std::filesystem::create_symlink(folder / "none", folder / "link");
  std::filesystem::create_symlink(folder / "loop", folder / "loop");
  write_file(folder / "file", "text");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  for (const char* name : {"none", "link", "loop", "folder", "pipe", "file/below"})
    for (const bool lines : {false, true}) {
      const std::string error = error_of([&] { read({{folder / name, "", lines}}); });
      EXPECT_EQ(error.rfind("2: cannot open " + (folder / name) + " (", 0), 0u) << error;
    }
}

TEST(Complaints, ShowTwentyAndCountTheRest) {
  for (const int count : {0, 1, 19, 20, 21, 45}) {
    Complaints complaints;
    std::string expected = count ? "2: " : "";
    for (int i = 0; i < count; ++i) {
      complaints.add("f", i, "bad");
      if (i < 20) expected += (i ? "\nf: byte " : "f: byte ") + std::to_string(i) + ": bad";
    }
    if (count > 20) expected += "\nand " + std::to_string(count - 20) + " more";
    EXPECT_EQ(error_of([&] { complaints.raise(); }), expected) << count;
  }
}

}  // namespace
}  // namespace switchyard::data
