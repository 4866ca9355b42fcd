// A tree of YAML nodes and the overrides onto the options: unknown and duplicate keys, wrong kinds and wrong texts.
#include <algorithm>
#include <filesystem>
#include <system_error>
#include <tuple>
#include <utility>

#include "base/check.hpp"
#include "base/files.hpp"
#include "config/options.hpp"
#include "config/presets.hpp"
#include "config/values.hpp"
#include "config/yaml.hpp"
#include "config/yaml_tree.hpp"

namespace switchyard {
namespace {

using Kind = YamlNode::Kind;

const char* kind_text(Kind kind) { return kind == Kind::list ? "a list" : kind == Kind::map ? "a section" : "nothing"; }

/// "unknown key (did you mean …?)".
std::string unknown_key(const std::string& key) {
  const std::string meant = suggest_key(key);
  if (const auto dot = key.find('.'); meant == key && dot != std::string::npos)
    return "in a file this is written " + key.substr(0, dot) + ": {" + key.substr(dot + 1) + ": …}";
  return "unknown key" +
         (meant.empty() ? "; `switchyard show --reference` lists all" : " (did you mean " + meant + "?)");
}

template <class T>
std::string assign(const YamlNode& node, T& value) {
  if (node.kind != Kind::scalar) return std::string("is ") + kind_text(node.kind) + "; must be " + kind_name<T>();
  if (node.quoted && !std::is_same_v<T, std::string> && !std::is_enum_v<T>)
    return "\"" + node.text + "\" in quotes is text; must be " + kind_name<T>() + ", written without quotes";
  return parse_value(node.text, value);
}

template <class T>
std::string assign(const YamlNode& node, std::vector<T>& value) {
  if (node.kind != Kind::list)
    return std::string("is ") + (node.kind == Kind::scalar ? "one value" : kind_text(node.kind)) + "; must be " +
           kind_name<std::vector<T>>() + (std::is_enum_v<T> ? "; write it in brackets" : " like [0, 8, 0, 8]");
  std::vector<T> items;
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    T item{};
    if (const std::string wrong = assign(node.items[i], item); !wrong.empty())
      return "item " + std::to_string(i + 1) + ": " + wrong;
    items.push_back(item);
  }
  value = items;
  return "";
}

/// Collects values, origins and errors of one configuration.
class Loader {
 public:
  Loader(std::string file, LoadResult& result) : file_(std::move(file)), result_(result) {}

  /// Puts the values of the preset that the command line, or else the file, names in the place of the defaults.
  void begin_with_preset(const YamlTree& tree, const std::vector<std::string>& overrides) {
    for (const std::string& text : overrides)
      if (text.starts_with(preset_key + "="))
        return use(text.substr(preset_key.size() + 1), {Origin::Kind::command_line, "", 0, 0});
    const std::vector<YamlNode>& items = tree.root.items;
    for (std::size_t i = 0; tree.root.kind == Kind::map && i + 1 < items.size(); i += 2)
      if (items[i].text == preset_key && items[i + 1].kind == Kind::scalar)
        return use(items[i + 1].text, at(items[i + 1].place));
  }

  void read(const YamlTree& tree) {
    for (const YamlError& e : tree.errors) complain(at(e.place), "", e.message);
    if (tree.root.kind == Kind::map)
      walk(tree.root, "");
    else if (tree.root.kind == Kind::scalar || tree.root.kind == Kind::list)
      complain(at(tree.root.place), "",
               "a configuration is made of sections (model:, moe:, data:, train:, layout:, record:)");
  }

  void override_with(const std::string& text) {
    const Origin origin{Origin::Kind::command_line, "", 0, 0};
    const auto equals = text.find('=');
    const std::string key = text.substr(0, equals);
    if (equals == std::string::npos || key.empty())
      return complain(origin, "", "\"" + text + "\" is not of the form section.key=value");
    if (key == preset_key) {
      if (std::exchange(preset_given_, true)) complain(origin, key, "given twice");
      return;
    }
    if (is_section(key)) return complain(origin, key, "is a section; give one of its options, " + key + ".key=value");
    if (result_.origins.contains(key) && result_.origins[key].kind == Origin::Kind::command_line)
      return complain(origin, key, "given twice");
    set(key, override_node(key, text.substr(equals + 1)), origin);
  }

 private:
  static inline const std::string preset_key = "preset";

  void use(const std::string& name, const Origin& origin) {
    const Preset* preset = find_preset(name);
    std::vector<std::string> names;
    for (const Preset& known : presets()) names.push_back(known.name);
    if (!preset) return complain(origin, preset_key, "is \"" + name + "\"; must be one of " + join(names));
    for (const auto& [key, value] : preset->values)
      set(key, {.kind = Kind::scalar, .text = value}, {Origin::Kind::preset, name, 0, 0});
  }

  static bool is_section(const std::string& name) {
    for (const std::string& section : section_names())
      if (section == name) return true;
    return false;
  }

  Origin at(const TextPlace& place) const { return {Origin::Kind::file, file_, place.line, place.column}; }

  void complain(const Origin& origin, const std::string& key, const std::string& message) {
    result_.errors.push_back({origin, key, message});
  }

  /// Text options take the override as it is; the others may be lists.
  static YamlNode override_node(const std::string& key, const std::string& text) {
    bool is_text = false;
    const Config config;
    visit_values(config, [&](const std::string& name, const auto& member) {
      is_text |= name == key && std::is_same_v<std::remove_cvref_t<decltype(member)>, std::string>;
    });
    if (!is_text && text.starts_with('[')) {
      const YamlTree tree = parse_yaml(text);
      if (tree.errors.empty()) return tree.root;
    }
    return {.kind = Kind::scalar, .text = text};
  }

  void walk(const YamlNode& map, const std::string& prefix) {
    std::map<std::string, int> seen;
    for (std::size_t i = 0; i + 1 < map.items.size(); i += 2) {
      const YamlNode &name = map.items[i], &value = map.items[i + 1];
      if (name.kind == Kind::refused) continue;
      if (name.kind != Kind::scalar || name.text.empty()) {
        complain(at(name.place), prefix, "a key must be a plain name");
        continue;
      }
      const std::string key = prefix + name.text;
      if (const auto [first, fresh] = seen.emplace(name.text, name.place.line); !fresh)
        complain(at(name.place), key, "duplicate key (first on line " + std::to_string(first->second) + ")");
      else if (name.text == "<<")
        complain(at(name.place), "", "merge keys (<<) are not supported; write the values out");
      else if (prefix.empty() && name.text == preset_key) {
        if (value.kind != Kind::scalar) complain(at(name.place), key, "must be the name of a preset");
      } else if (prefix.empty())
        section(name, value);
      else
        set(key, value, at(value.kind == Kind::scalar || value.kind == Kind::list ? value.place : name.place),
            name.place);
    }
  }

  void section(const YamlNode& name, const YamlNode& value) {
    std::string known = name.text;
    if (!is_section(known)) {
      known = value.kind == Kind::map ? suggest_section(name.text) : "";
      if (!known.empty())
        complain(at(name.place), name.text, "unknown section (did you mean " + known + "?)");
      else
        complain(at(name.place), name.text, unknown_key(name.text));
    }
    if (known.empty() || value.kind == Kind::null || value.kind == Kind::refused) return;
    if (value.kind != Kind::map) return complain(at(value.place), name.text, "must be a section with options below it");
    walk(value, known + ".");  // of a misspelled section too: all errors at once
  }

  /// Whether a text option that is empty by default is given as that; then it is.
  template <class T>
  static bool clears(const std::string& key, const YamlNode& node, T& member) {
    bool may_be_empty = false;
    if constexpr (std::is_same_v<T, std::string>) {
      const Config defaults;
      visit_values(defaults, [&](const std::string& name, const auto& value) {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(value)>, std::string>)
          may_be_empty |= name == key && value.empty();
      });
      may_be_empty = may_be_empty && node.kind == Kind::scalar && node.text.empty();
      if (may_be_empty) member.clear();
    }
    return may_be_empty;
  }

  /// Assigns a node to the option `key`; an unknown key is reported where its name stands.
  void set(const std::string& key, const YamlNode& node, const Origin& origin, const TextPlace& name = {}) {
    bool found = false;
    visit_values(result_.config, [&](const std::string& known, auto& member) {
      if (known != key) return;
      found = true;
      if (node.kind == Kind::refused) return;
      const std::string wrong = clears(key, node, member) ? "" : assign(node, member);
      if (!wrong.empty()) complain(origin, key, wrong);
      result_.origins[key] = origin;
    });
    if (!found) complain(name.line > 0 ? at(name) : origin, key, unknown_key(key));
  }

  std::string file_;
  LoadResult& result_;
  bool preset_given_ = false;  ///< on the command line
};

}  // namespace

std::string read_text(const std::string& file) {
  const auto refuse = [&](const std::string& why) {
    throw Error(Exit::usage, file + ": cannot be read (" + why + "); give the path of a readable file");
  };
  constexpr std::size_t max_bytes = 64 << 20;
  try {
    const std::string text = files::read_once(file, max_bytes);
    if (text.size() > max_bytes) refuse("it is larger than 64 MiB, as no configuration is");
    if (text.empty() && !std::filesystem::is_regular_file(file)) refuse("nothing comes from it");
    return text;
  } catch (const std::filesystem::filesystem_error& e) {
    if (files::means_lost_storage(e.code().value())) throw;
    refuse(e.code() == std::errc::is_a_directory ? "it is a folder" : e.code().message());
    throw;
  }
}

LoadResult load_text(const std::string& name, const std::string& text, const std::vector<std::string>& overrides) {
  LoadResult result;
  Loader loader(name, result);
  const YamlTree tree = parse_yaml(text);
  loader.begin_with_preset(tree, overrides);
  loader.read(tree);
  for (const std::string& o : overrides) loader.override_with(o);
  sort_errors(result.errors);
  return result;
}

LoadResult load(const std::string& file, const std::vector<std::string>& overrides) {
  std::string text;
  ConfigError unreadable;
  try {
    text = read_text(file);
  } catch (const Error& e) {
    unreadable.origin.kind = Origin::Kind::file;
    unreadable.origin.file = file;
    unreadable.message = std::string(e.what()).substr(file.size() + 2);
  }
  LoadResult result = load_text(file, text, overrides);
  if (!unreadable.message.empty()) result.errors.insert(result.errors.begin(), unreadable);
  return result;
}

void sort_errors(std::vector<ConfigError>& errors) {
  const auto rank = [](Origin::Kind kind) {
    return kind == Origin::Kind::file ? 0 : kind == Origin::Kind::unset ? 1 : 2;
  };
  std::stable_sort(errors.begin(), errors.end(), [&](const ConfigError& a, const ConfigError& b) {
    return std::tuple(rank(a.origin.kind), a.origin.line, a.origin.column) <
           std::tuple(rank(b.origin.kind), b.origin.line, b.origin.column);
  });
}

void throw_errors(const LoadResult& result) {
  if (result.errors.empty()) return;
  std::vector<std::string> lines;
  for (const ConfigError& e : result.errors) lines.push_back(e.text());
  throw Error(Exit::usage, join(lines, "\n"));
}

}  // namespace switchyard
