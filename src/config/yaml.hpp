// Reading a configuration (file and command line, all errors at once, each with its place) and writing it back with
// comments.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "config/config.hpp"

namespace switchyard {

/// Where a value comes from; line and column count from 1, 0 where they do not apply.
struct Origin {
  enum class Kind { unset, preset, file, command_line };  ///< unset: the default of the program
  Kind kind = Kind::unset;
  std::string file;  ///< or the name of the preset
  int line = 0;
  int column = 0;
};
/// "default", "preset switch", "tiny.yaml:3" or "command line".
std::string to_string(const Origin& origin);

/// By dotted key; a key that is not there has its default.
using Origins = std::map<std::string, Origin>;

/// One complaint: `tiny.yaml:3:5: moe.n_expert: unknown key (did you mean moe.experts?)`, `command line: moe.top_k: …`.
struct ConfigError {
  Origin origin;
  std::string key;  ///< "" where it is about the whole file
  std::string message;
  std::string text() const;
};

struct LoadResult {
  Config config;  ///< meaningful only without errors
  Origins origins;
  std::vector<ConfigError> errors;  ///< by place, the command line last
};

/// Reads `file`, then puts "key.sub=value" overrides over it. Only what can be seen of single values is checked.
LoadResult load(const std::string& file, const std::vector<std::string>& overrides = {});
/// The same for a text already read; `name` stands in messages.
LoadResult load_text(const std::string& name, const std::string& text, const std::vector<std::string>& overrides = {});
/// Text of a file. Throws Error{usage} if it cannot be read.
std::string read_text(const std::string& file);

/// Adds what validate() finds, at the places of the options concerned; rules about options that are wrong already are
/// left out. `ranks` = 0 leaves out the rules about the layout.
void add_violations(LoadResult& result, int ranks, Use use = Use::train);
/// By place: whole files first, then lines, then what has no place, then the command line; otherwise as found.
void sort_errors(std::vector<ConfigError>& errors);
/// Throws Error{usage} with one line for each error.
void throw_errors(const LoadResult& result);

/// All options as YAML that load reads back to the same values, each with unit, help and origin as a comment.
std::string dump(const Config& config, const Origins& origins);
/// "key: value" lines of the options that decide results: without layout.*, record.*, train.steps,
/// train.max_time, train.graph and train.keep_steps.
std::string invariant_options(const Config& config);
/// Reference of all options (key, default, unit, meaning) in Markdown.
std::string config_markdown();

/// An option whose value differs between two configurations, as format_value writes it.
struct OptionChange {
  std::string key, was, now;
  bool operator==(const OptionChange&) const = default;
};
/// The options that `before` ("key: value" lines) has otherwise; of those that it lacks the defaults count.
std::vector<OptionChange> option_changes(const std::string& before, const Config& after);

/// Whether an option may differ between a run and its continuation.
bool may_change_on_resume(const std::string& key);
/// Each option that differs from `before` (invariant_options of the run): a run continues as what it was.
std::vector<Violation> resume_changes(const std::string& before, const Config& after);

}  // namespace switchyard
