// The record schema, declared once: files are created from this table, `verify` checks against it, and the
// documentation is printed from it. A variable's dimensions are names; which of them grow stands beside.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/schema_version.hpp"
#include "hdf5/hdf5.hpp"

namespace switchyard::record {

enum class FileKind { run, evaluation, tokens, results };

/// What a dataset depends on (contract C1): nothing but the configuration, the layout, or the clock.
enum class Scope { invariant, layout, timing };

struct Dimension {
  FileKind file;
  const char* name;
  bool growing;
  const char* meaning;
  int since = 1;             ///< first schema version that has it
  bool of_mixtures = false;  ///< left out, with its variables, where the model is dense; any other must be there
};

/// What stands for something else than a number: attributes of the conventions that xarray and netCDF tools know.
struct Codes {
  bool missing = false;            ///< -1 is no value: attribute _FillValue
  const char* meanings = nullptr;  ///< of 0 and 1, words with a space between: flag_values and flag_meanings
};
constexpr std::int64_t no_value = -1;

struct Variable {
  FileKind file;
  const char* name;
  std::vector<std::string> dims;  ///< the first one grows or none does
  hdf5::Type type;
  Scope scope;
  const char* units;  ///< "1" where there is none
  const char* long_name;
  int since = 1;          ///< first schema version that has it
  bool optional = false;  ///< an option of a task (results): programs that have no such option leave it out
  Codes codes = {};       ///< since version 8
};

const std::vector<Dimension>& dimensions();
const std::vector<Variable>& variables();
std::vector<Variable> run_variables();     ///< its part about run.h5
std::vector<Variable> option_variables();  ///< of results.h5: options of a task by their keys
/// Whether a name can be one of these, of this program or another: "section.option".
bool is_option_name(const std::string& name);
std::vector<Variable> communication_variables();  ///< of this the part about what ranks send each other
std::vector<Dimension> dimensions_of(FileKind file);
std::vector<Variable> variables_of(FileKind file);
/// The growing dimension along which a variable is appended; empty for one that is written once.
std::string growing_dimension(const Variable& variable);

/// "switchyard-run", "switchyard-evaluation" and so on: root attribute `schema`.
const char* schema_name(FileKind file);
const char* scope_name(Scope scope);

/// docs/record-schema.md, from the table.
std::string schema_markdown();

}  // namespace switchyard::record
