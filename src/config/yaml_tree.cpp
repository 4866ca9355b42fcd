// The events of yaml-cpp's parser turned into nodes; events rather than its nodes, because those hide aliases and
// quotes.
#include "config/yaml_tree.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "config/values.hpp"

namespace switchyard {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TextPlace place_of(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

class Builder : public YAML::EventHandler {
 public:
  Builder(const std::string& text, std::vector<YamlError>& errors) : lines_(lines_of(text)), errors_(errors) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add({.kind = kind_of(YamlNode::Kind::null, mark, "", anchor), .place = place_of(mark)});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(mark, "aliases (*name) are not supported; write the value out");
    add({.kind = YamlNode::Kind::refused, .place = place_of(mark)});
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    YamlNode node{.kind = kind_of(YamlNode::Kind::scalar, mark, tag, anchor), .place = place_of(mark)};
    node.text = value;
    node.quoted = tag == "!";
    if (node.kind == YamlNode::Kind::scalar && !on_one_line(node)) {
      refuse(mark, node.quoted ? "a value must be written on one line, with its closing quote"
                               : "a value must be written on one line; a bracket or brace before it may be open");
      node.kind = YamlNode::Kind::refused;
    }
    add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open_.push_back({.kind = kind_of(YamlNode::Kind::list, mark, tag, anchor), .place = place_of(mark)});
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open_.push_back({.kind = kind_of(YamlNode::Kind::map, mark, tag, anchor), .place = place_of(mark)});
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

  /// The document; what a syntax error left open is closed, and the node at which it struck refused.
  YamlNode take() {
    if (!open_.empty() && !open_.back().items.empty()) {
      YamlNode& last = open_.back().items.back();
      if (last.kind != YamlNode::Kind::map) last.kind = YamlNode::Kind::refused;
    }
    while (!open_.empty()) close();
    return std::move(root_);
  }

 private:
  void refuse(const YAML::Mark& mark, const std::string& message) { errors_.push_back({place_of(mark), message}); }

  /// Anchors and tags are reported; a map or list that has one is still read, so that its own errors show as well.
  YamlNode::Kind kind_of(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != 0) refuse(mark, "anchors (&name) are not supported; write the value out where it is needed");
    if (tag.size() > 1) {
      refuse(mark, "tags (" + tag + ") are not supported; write the plain value");
      return kind == YamlNode::Kind::scalar ? YamlNode::Kind::refused : kind;
    }
    return kind;
  }

  /// Multi-line scalars are folded silently by YAML, and yaml-cpp 0.7 takes an unclosed quote for one.
  bool on_one_line(const YamlNode& node) const {
    if (node.place.line > static_cast<int>(lines_.size())) return false;
    const std::string& line = lines_[node.place.line - 1];
    const std::size_t start = line.find_first_of(node.quoted ? "'\"" : node.text.substr(0, 1), node.place.column - 1);
    if (!node.quoted) return node.text.empty() || line.find(node.text, node.place.column - 1) != std::string::npos;
    if (start == std::string::npos) return false;
    for (std::size_t i = start + 1; i < line.size(); ++i) {
      if (line[i] == '\\' && line[start] == '"')
        ++i;
      else if (line[i] == line[start] && i + 1 < line.size() && line[i + 1] == line[i] && line[i] == '\'')
        ++i;
      else if (line[i] == line[start])
        return true;
    }
    return false;
  }

  void add(YamlNode node) {
    if (open_.empty())
      root_ = std::move(node);
    else
      open_.back().items.push_back(std::move(node));
  }

  void close() {
    YamlNode node = std::move(open_.back());
    open_.pop_back();
    if (node.kind == YamlNode::Kind::map && node.items.size() % 2 == 1)
      node.items.push_back({.kind = YamlNode::Kind::refused, .place = node.items.back().place});
    add(std::move(node));
  }

  std::vector<std::string> lines_;
  std::vector<YamlError>& errors_;
  YamlNode root_;
  std::vector<YamlNode> open_;
};

/// What yaml-cpp would take silently or misread: bytes that are not UTF-8, and tabs as indentation.
void check_text(const std::string& text, std::vector<YamlError>& errors) {
  const std::vector<std::string> lines = lines_of(text);
  for (int l = 0; l < static_cast<int>(lines.size()); ++l) {
    std::string line = lines[l];
    const std::size_t content = line.find_first_not_of(" \t\r"), tab = line.find('\t');
    if (content != std::string::npos && line[content] != '#' && tab < content)
      errors.push_back({{l + 1, static_cast<int>(tab) + 1}, "a tab in the indentation; YAML wants spaces"});
    std::replace(line.begin(), line.end(), '\t', ' ');
    if (line.ends_with('\r')) line.pop_back();
    if (const std::size_t clean = clean_utf8_length(line); clean < line.size())
      errors.push_back({{l + 1, static_cast<int>(clean) + 1}, "a control character, or not UTF-8"});
  }
}

}  // namespace

YamlTree parse_yaml(const std::string& text) {
  YamlTree tree;
  check_text(text, tree.errors);
  if (!tree.errors.empty()) return tree;
  Builder builder(text, tree.errors);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    std::vector<YamlError> ignored;
    Builder rest(text, ignored);
    if (parser.HandleNextDocument(builder)) {
      const bool more = parser.HandleNextDocument(rest);
      const TextPlace second = rest.take().place;
      if (more) tree.errors.push_back({second, "a second document starts here; a configuration is one document"});
    }
  } catch (const YAML::Exception& e) {
    tree.errors.push_back({place_of(e.mark), "not valid YAML: " + e.msg});
  }
  tree.root = builder.take();
  return tree;
}

}  // namespace switchyard
