// A YAML text as a tree of nodes with places, without the features that surprise: anchors, aliases, merge keys, tags,
// several documents. The .cpp is the only file that includes yaml-cpp.
#pragma once
#include <string>
#include <vector>

namespace switchyard {

/// One-based; 0 where there is no place.
struct TextPlace {
  int line = 0;
  int column = 0;
  auto operator<=>(const TextPlace&) const = default;
};

struct YamlNode {
  enum class Kind { null, scalar, list, map, refused };  ///< refused: an error about it has been reported
  Kind kind = Kind::null;
  TextPlace place{};
  std::string text{};             ///< of a scalar, as written, quotes taken off
  bool quoted = false;            ///< in quotes or a block scalar
  std::vector<YamlNode> items{};  ///< of a list; of a map: key, value, key, value, …
};

struct YamlError {
  TextPlace place;
  std::string message;
};

struct YamlTree {
  YamlNode root;  ///< null for an empty text
  std::vector<YamlError> errors;
};

/// Never throws on bad YAML: the tree holds what was read up to a syntax error.
YamlTree parse_yaml(const std::string& text);

}  // namespace switchyard
