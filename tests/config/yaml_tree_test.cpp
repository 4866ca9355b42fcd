// The tree of a YAML text: kinds, places and quotes of every node, and that no text whatever ends the program.
#include "config/yaml_tree.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <tuple>

#include "config/yaml.hpp"

namespace switchyard {
namespace {

/// "{2:1 a: 2:4 'b', …}": texts with their places, quoted ones in quotes, "~" for nothing, "!" for what was refused.
std::string shown(const YamlNode& node) {
  const std::string place = std::to_string(node.place.line) + ":" + std::to_string(node.place.column) + " ";
  if (node.kind == YamlNode::Kind::scalar) return place + (node.quoted ? "'" + node.text + "'" : node.text);
  if (node.kind == YamlNode::Kind::null) return "~";
  if (node.kind == YamlNode::Kind::refused) return "!";
  const bool map = node.kind == YamlNode::Kind::map;
  std::string text(1, map ? '{' : '[');
  for (std::size_t i = 0; i < node.items.size(); ++i)
    text.append(i == 0 ? "" : map && i % 2 ? ": " : ", ").append(shown(node.items[i]));
  return text.append(1, map ? '}' : ']');
}

std::string errors_of(const YamlTree& tree) {
  std::string text;
  for (const YamlError& e : tree.errors)
    text += std::to_string(e.place.line) + ":" + std::to_string(e.place.column) + " " + e.message + "\n";
  return text;
}

TEST(YamlTree, NodesHaveKindsAndPlaces) {
  const std::pair<const char*, const char*> rows[] = {
      {"", "~"},
      {"# a comment\n\n", "~"},
      {"a", "1:1 a"},
      {"a: 1", "{1:1 a: 1:4 1}"},
      {"a:\n  b: x\n  c: 'y'\n", "{1:1 a: {2:3 b: 2:6 x, 3:3 c: 3:6 'y'}}"},
      {"a:\n", "{1:1 a: ~}"},
      {"a: ~\nb: null", "{1:1 a: ~, 2:1 b: ~}"},
      {"a: '~'\nb: 'null'\nc: ''", "{1:1 a: 1:4 '~', 2:1 b: 2:4 'null', 3:1 c: 3:4 ''}"},
      {"[1, [2, {a: 3}], []]", "[1:2 1, [1:6 2, {1:10 a: 1:13 3}], []]"},
      {"- x\n-  y\n", "[1:3 x, 2:4 y]"},
      {"{a, b: }", "{1:2 a: ~, 1:5 b: ~}"},
      {"\"a\\\"b\": 'c''d'", "{1:1 'a\"b': 1:9 'c'd'}"},
      {"a:   1   # one\r\nb:\t2\r\n", "{1:1 a: 1:6 1, 2:1 b: 2:4 2}"},
      {"a: x y  z", "{1:1 a: 1:4 x y  z}"},
      {"a: b#c", "{1:1 a: 1:4 b#c}"},
      {"a: http://x:1/y", "{1:1 a: 1:4 http://x:1/y}"},
      {"a: -1", "{1:1 a: 1:4 -1}"},
      {"a: yes", "{1:1 a: 1:4 yes}"},
      {"a: [\n  1,\n  2\n]", "{1:1 a: [2:3 1, 3:3 2]}"},
  };
  for (const auto& [text, tree] : rows) {
    const YamlTree found = parse_yaml(text);
    EXPECT_EQ(shown(found.root), tree) << text;
    EXPECT_EQ(errors_of(found), "") << text;
  }
}

// What was read up to an error is still there, so that all that is wrong with it can be said at once.
TEST(YamlTree, ErrorsHavePlacesAndLeaveTheRest) {
  const struct {
    const char *text, *tree, *errors;
  } rows[] = {
      {"a: &x 1\nb: 2", "{1:1 a: 1:4 1, 2:1 b: 2:4 2}",
       "1:4 anchors (&name) are not supported; write the value out where it is needed\n"},
      {"a: !!int 1\nb: 2", "{1:1 a: !, 2:1 b: 2:4 2}",
       "1:4 tags (tag:yaml.org,2002:int) are not supported; write the plain value\n"},
      {"a: !x [1]", "{1:1 a: [1:8 1]}", "1:4 tags (!x) are not supported; write the plain value\n"},
      {"a: b\n  c\nd: 1", "{1:1 a: !, 3:1 d: 3:4 1}",
       "1:4 a value must be written on one line; a bracket or brace before it may be open\n"},
      {"a: >\n  b\nd: 1", "{1:1 a: !, 3:1 d: 3:4 1}",
       "1:4 a value must be written on one line, with its closing quote\n"},
      {"a: 1\n--- \nb: 2", "{1:1 a: 1:4 1}", "3:1 a second document starts here; a configuration is one document\n"},
      {"a: 1\n\tb: 2", "~", "2:1 a tab in the indentation; YAML wants spaces\n"},
      {"a: \x7f\nb: \xff", "~", "1:4 a control character, or not UTF-8\n2:4 a control character, or not UTF-8\n"},
  };
  for (const auto& [text, tree, errors] : rows) {
    const YamlTree found = parse_yaml(text);
    EXPECT_EQ(shown(found.root), tree) << text;
    EXPECT_EQ(errors_of(found), errors) << text;
  }
}

// The scalar in which a text ends may be half of one. In braces and quotes it is refused, or the node before it, which
// is the last that yaml-cpp told of; in brackets yaml-cpp takes it for a map without a value.
TEST(YamlTree, TextsThatAreCutKeepWhatIsWhole) {
  for (const auto& [text, tree, error] :
       {std::tuple("a: 1\nb: {c: 2, d: 3", "{1:1 a: 1:4 1, 2:1 b: {2:5 c: 2:8 2, 2:11 d: !}}",
                   "2:1 not valid YAML: end of map flow not found\n"),
        std::tuple("a: 1\nb: {c: 2, d", "{1:1 a: 1:4 1, 2:1 b: {2:5 c: 2:8 2, 2:11 d: !}}",
                   "2:1 not valid YAML: end of map flow not found\n"),
        std::tuple("a: 1\nb: [2, 34", "{1:1 a: 1:4 1, 2:1 b: [2:5 2, {2:8 34: ~}]}",
                   "2:1 not valid YAML: end of sequence flow not found\n"),
        std::tuple("a: 1\nb: 'cd", "{1:1 a: 1:4 1, !: !}", "2:7 not valid YAML: illegal EOF in scalar\n"),
        std::tuple("a: 1\nb: {c: 2, d: \"e", "{1:1 a: 1:4 1, 2:1 b: {2:5 c: 2:8 2, !: !}}",
                   "2:16 not valid YAML: illegal EOF in scalar\n"),
        std::tuple("a: 1\nb: [2, 'e", "{1:1 a: 1:4 1, 2:1 b: [!]}", "2:10 not valid YAML: illegal EOF in scalar\n")}) {
    const YamlTree found = parse_yaml(text);
    EXPECT_EQ(shown(found.root), tree) << text;
    EXPECT_EQ(errors_of(found), error) << text;
  }
}

bool whole(const YamlNode& node) {
  if (node.kind == YamlNode::Kind::map && node.items.size() % 2 != 0) return false;
  return std::all_of(node.items.begin(), node.items.end(), whole);
}

/// Reads a text as a tree and as a configuration: maps are pairs, errors stand in the text, and what has none can be
/// written and read again.
void expect_orderly(const std::string& text) {
  const YamlTree tree = parse_yaml(text);
  const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
  ASSERT_TRUE(whole(tree.root)) << testing::PrintToString(text);
  for (const YamlError& e : tree.errors) {
    ASSERT_GE(e.place.line, 1) << e.message << "\n" << testing::PrintToString(text);
    ASSERT_LE(e.place.line, lines) << e.message << "\n" << testing::PrintToString(text);
  }
  const LoadResult loaded = load_text("f", text);
  ASSERT_TRUE(tree.errors.empty() || !loaded.errors.empty()) << testing::PrintToString(text);
  if (!loaded.errors.empty()) return;
  const std::string written = dump(loaded.config, {});
  ASSERT_EQ(dump(load_text("f", written).config, {}), written) << testing::PrintToString(text);
}

TEST(YamlTree, NoTextIsTooOdd) {
  const std::string good =
      "model: {width: 64, tied: false}\nmoe:\n  experts_per_block: [0, 8]  # list\n  router: 'hash'\ndata:\n"
      "  path: \"a b\"\n  seed: 7\ntrain:\n  steps: 10\n";
  const std::string bytes(
      "\0\t\n\r !\"#%&'*,-.:<>?@[]`{|}~\xc3\xa4\xff"
      "0a",
      33);
  std::mt19937 draw(11);
  for (int i = 0; i < 2500; ++i) {
    std::string text = good;
    for (unsigned n = 1 + draw() % 4; n > 0; --n) {
      const std::size_t at = draw() % text.size();
      switch (draw() % 4) {
        case 0:
          text[at] = bytes[draw() % bytes.size()];
          break;
        case 1:
          text.insert(at, 1, bytes[draw() % bytes.size()]);
          break;
        case 2:
          text.erase(at, 1 + draw() % 8);
          break;
        default:
          text.insert(at, std::string(text, draw() % text.size(), draw() % 20));
      }
      text.resize(std::max<std::size_t>(text.size(), 1), 'x');
    }
    expect_orderly(text);
  }
}

TEST(YamlTree, NoTextIsTooDeepOrTooLong) {
  for (const std::string part :
       {"[", "{a: ", "- ", "? ", "a:\n ", "'", "\"", "&", "!", "|\n", "[]: ", "\n---\n", "x"}) {
    std::string text;
    while (text.size() < 20000) text += part;
    expect_orderly(text);
    expect_orderly("data:\n  path: " + text);
  }
  std::string nested, indent;
  for (int depth = 0; depth < 1500; ++depth, indent += ' ') nested += indent + "a:\n";
  expect_orderly(nested);
}

}  // namespace
}  // namespace switchyard
