#include "record/schema.hpp"

#include <sstream>

namespace switchyard::record {
namespace {

using enum FileKind;
using enum hdf5::Type;

constexpr const char* file_names[] = {"run.h5", "evaluation.h5", "tokens.rNNNN.h5", "results.h5"};
constexpr const char* file_texts[] = {
    "Rows of one segment, written by rank 0. A chunk holds `record.flush_every` steps.",
    "Routing of the same held-out tokens at each evaluation, written by rank 0. Evaluation drops nothing.",
    "Routing of every training token of the sampled steps, one file a rank that has tokens. A chunk is one sampled "
    "step.",
    "The evaluations of all finished tasks of a sweep, one row each, written by `switchyard sweep`; names as in the "
    "public curves "
    "of Clark et al. (2022) where they have the same. Root attribute `tasks`: JSON list of the run folders, in the "
    "order of "
    "`task`."};

const char* preamble =
    "# Record schema, version 8\n\n"
    "Printed by `switchyard schema` from the tables in `src/record/schema_run.cpp`, `schema_communication.cpp` and "
    "`schema_table.cpp`; "
    "files are "
    "created from that table "
    "and `switchyard verify` checks against it. Versions 1 to 7 are still read: 7 lacks what is marked (since 8), 6 "
    "(since 7), 5 "
    "what is marked (since 6), 4 "
    "and 3 what is marked (since 5), "
    "3 what is "
    "marked (since 4); in 2 "
    "and 1, text attributes are of variable length and the floating-point variables of run.h5 are not deflated; 1 "
    "lacks what is marked (since 2).\n\n"
    "All files are plain HDF5 (1.10 or later reads them), little-endian, chunked, shuffled and deflated, with "
    "Fletcher-32 "
    "sums; the structure of a file has sums as well. A chunk is written once, then flushed, and only then the length "
    "of "
    "its growing dimension is raised and flushed: **rows beyond the length of the dimension scale are not "
    "acknowledged**, and a running or killed run may leave such rows. Dimensions are HDF5 dimension scales, so "
    "`xarray.open_dataset(file, engine=\"h5netcdf\")` works. Every variable has the attributes `scope`, `units` and "
    "`long_name`; scope `invariant` promises the same bits on every layout and thread count (of runs with "
    "train.determinism `run`: "
    "on one layout, at every thread count), `layout` depends on the ranks, `timing` on the clock. Since version 8 "
    "integers of which -1 is no value have `_FillValue`, and those of 0 and 1 alone `flag_values` and `flag_meanings`. "
    "Text attributes are UTF-8 of fixed length, padded with zeros: h5py gives bytes, and "
    "text for versions 1 and 2.\n\n"
    "What is read is not trusted: before the program opens a file, another process reads all of it but the rows, since "
    "HDF5 crashes on some damaged files; then type, shape, storage and attributes are compared with this table.\n\n"
    "Root attributes of every file: `schema`, `schema_version`, `program_version`, `commit`, since version 8 "
    "`Conventions` (`Switchyard-8`); of run.h5 also `config` "
    "(YAML), "
    "`config_sha256`, `provenance` (JSON), `segment`, `begins_after` (steps done before it, since version 3), `ranks`, "
    "`step_tokens` (tokens of one step), `top_k`; of "
    "evaluation.h5 "
    "also `domains` (JSON list of names).\n\n"
    "A run has one segment a start, the folder `segments/NNN`, and one more where a start falls between two chunks: "
    "the "
    "first then ends with its short chunk. A file that is being made is named `.part`. A segment "
    "supersedes what earlier ones hold beyond its `begins_after`: of a segment whose successors begin after step E the "
    "first max(0, E - begins_after) rows count, and as many evaluations and samples as were due up to E; nothing "
    "beyond "
    "is read or need be readable. Of records before version 3 the later of two rows of a step holds. A file that could "
    "not be opened when a run went on is kept as `NAME.damaged`. Of a dense model "
    "the dimensions `layer` and, in run.h5, `expert` and `hop` are left out with their variables; nothing else is ever "
    "left "
    "out.\n\n"
    "Steps wait for their chunk; evaluations and timelines are written at once, and after the chunk that ends with "
    "their step. So the run.h5 of a killed run may hold evaluations and timelines of steps beyond its last row, and "
    "may lack those of that row itself, but none of an earlier one.\n";

const char* non_finite_text =
    "\n## non_finite.json (`switchyard-non-finite`)\n\n"
    "In the segment of a run that a loss or gradient which is not finite has ended (exit code 3), written by rank 0 "
    "before any update; the same on every layout. The log has the same in words.\n\n"
    "| member | meaning |\n|---|---|\n"
    "| schema, schema_version | `switchyard-non-finite`, 1 |\n"
    "| step | the step that was not done |\n"
    "| value | `loss` or `gradient` |\n"
    "| block | of a loss, the first block with a value that is not finite on any rank; of a gradient, the block of the "
    "last declared parameter with one, where the backward pass met it first; null outside the blocks |\n"
    "| expert | global id of the first expert of that block that made such a value from finite ones (of a gradient, "
    "that "
    "has one); null where none did |\n"
    "| where | the same in words: `block 3, expert 5`, `the embedding`, `the head`, `a balancing loss`, or the "
    "parameter |\n";

const char* option_text =
    "\nBeside these it has the options of each task, by their keys (`train.learning_rate`, `moe.router`): of all that "
    "decide results and of train.steps, but texts and lists. Names are text32, true and false uint8 (1 and 0), whole "
    "numbers int64, others float64; scope `invariant`. A file has those that its program knew.\n";

/// " (since 4)"; empty for what every version has.
std::string since(int version) { return version > 1 ? " (since " + std::to_string(version) + ")" : ""; }

}  // namespace

std::vector<Dimension> dimensions_of(FileKind file) {
  std::vector<Dimension> mine;
  for (const auto& d : dimensions())
    if (d.file == file) mine.push_back(d);
  return mine;
}

std::vector<Variable> variables_of(FileKind file) {
  std::vector<Variable> mine;
  for (const auto& v : variables())
    if (v.file == file) mine.push_back(v);
  return mine;
}

std::string growing_dimension(const Variable& variable) {
  for (const auto& d : dimensions())
    if (d.file == variable.file && d.growing && variable.dims.front() == d.name) return d.name;
  return "";
}

const char* schema_name(FileKind file) {
  constexpr const char* names[] = {"switchyard-run", "switchyard-evaluation", "switchyard-tokens",
                                   "switchyard-results"};
  return names[static_cast<int>(file)];
}

const char* scope_name(Scope scope) {
  constexpr const char* names[] = {"invariant", "layout", "timing"};
  return names[static_cast<int>(scope)];
}

std::string schema_markdown() {
  std::ostringstream out;
  out << preamble;
  for (const FileKind file : {run, evaluation, tokens, results}) {
    const int f = static_cast<int>(file);
    out << "\n## " << file_names[f] << " (`" << schema_name(file) << "`)\n\n" << file_texts[f] << "\n\n";
    out << "| dimension | grows | meaning |\n|---|---|---|\n";
    for (const auto& d : dimensions_of(file))
      out << "| " << d.name << " | " << (d.growing ? "yes" : "") << " | " << d.meaning << since(d.since) << " |\n";
    out << "\n| variable | dimensions | type | scope | units | meaning |\n|---|---|---|---|---|---|\n";
    for (const auto& v : variables_of(file)) {
      if (v.optional) continue;  // docs/configuration.md has them
      out << "| " << v.name << " | ";
      for (std::size_t i = 0; i < v.dims.size(); ++i) out << (i ? ", " : "") << v.dims[i];
      out << " | " << hdf5::name_of(v.type) << " | " << scope_name(v.scope) << " | " << v.units << " | " << v.long_name
          << since(v.since) << " |\n";
    }
    if (file == results) out << option_text;
  }
  out << non_finite_text;
  return out.str();
}

}  // namespace switchyard::record
