#include "record/schema.hpp"

#include <sstream>

namespace switchyard::record {
namespace {

using enum FileKind;
using enum Scope;
using enum h5::Type;

constexpr const char* file_names[] = {"run.h5", "evaluation.h5", "tokens.rNNNN.h5"};
constexpr const char* file_texts[] = {
    "Rows of one segment, written by rank 0. A chunk holds `record.flush_every` steps.",
    "Routing of the same held-out tokens at each evaluation, written by rank 0. Evaluation drops nothing.",
    "Routing of every training token of the sampled steps, one file a rank that has tokens. A chunk is one sampled "
    "step."};

const char* preamble =
    "# Record schema, version 1\n\n"
    "Printed by `switchyard schema` from the table in `src/record/schema.cpp`; files are created from that table and "
    "`switchyard verify` checks against it.\n\n"
    "All files are plain HDF5 (1.10 or later reads them), little-endian, chunked, with Fletcher-32 sums; integers and "
    "samples are "
    "shuffled and deflated. A chunk is written once, then flushed, and only then the length of its growing dimension "
    "is "
    "raised and flushed: **rows beyond the length of the dimension scale are not acknowledged**, and a killed run may "
    "leave "
    "such rows. Dimensions are HDF5 dimension scales, so `xarray.open_dataset(file, engine=\"h5netcdf\")` works. Every "
    "variable has the attributes `scope`, `units` and `long_name`; scope `invariant` promises the same bits on every "
    "layout "
    "and thread count, `layout` depends on the ranks, `timing` on the clock.\n\n"
    "Root attributes of every file: `schema`, `schema_version`, `program_version`, `commit`; of run.h5 also `config` "
    "(YAML), "
    "`config_sha256`, `provenance` (JSON), `segment`, `ranks`, `step_tokens` (tokens of one step), `top_k`; of "
    "evaluation.h5 "
    "also `domains` (JSON list of names).\n\n"
    "A run has one segment a start, the folder `segments/NNN`, and one more where a start falls between two chunks: "
    "the "
    "first then ends with its short chunk. A file that is being made is named `.part`. Where two segments have the "
    "same step, the later one "
    "holds. Variables with a "
    "dimension "
    "of length 0 (`layer` of a dense model) are left out.\n";

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

}  // namespace

const std::vector<Dimension>& dimensions() {
  static const std::vector<Dimension> table{
      {run, "row", true, "training steps of this segment"},
      {run, "evaluation", true, "evaluations of this segment"},
      {run, "layer", false, "mixture-of-experts layers, in block order"},
      {run, "expert", false, "experts, up to the largest number in any layer"},
      {run, "phase", false, "phases of a step"},
      {run, "margin_bin", false, "equal bins of the margin over [0, 1]"},
      {run, "rank_from", false, "sending rank"},
      {run, "rank_to", false, "receiving rank"},
      {evaluation, "evaluation", true, "evaluations of this segment"},
      {evaluation, "sample", false, "the first held-out tokens, at most 65536, the same every time"},
      {evaluation, "layer", false, "mixture-of-experts layers, in block order"},
      {evaluation, "choice", false, "choices of a token, best first"},
      {evaluation, "vocabulary", false, "token ids"},
      {tokens, "sample", true, "sampled tokens of this rank, ordered by step, sequence, position"},
      {tokens, "layer", false, "mixture-of-experts layers, in block order"},
      {tokens, "choice", false, "choices of a token, best first"},
  };
  return table;
}

const std::vector<Variable>& variables() {
  static const std::vector<Variable> table{
      {run, "block", {"layer"}, i32, invariant, "1", "transformer block of the layer, from 0"},
      {run,
       "experts",
       {"layer"},
       i32,
       invariant,
       "1",
       "experts of the layer; beyond them assigned, kept, prob_mass and bias are 0"},
      {run, "phase_name", {"phase"}, text16, invariant, "1", "name of the phase"},
      {run, "step", {"row"}, i64, invariant, "steps", "steps done, this one included"},
      {run, "tokens", {"row"}, i64, invariant, "tokens", "tokens trained on, this step included"},
      {run, "loss", {"row"}, f64, invariant, "nat", "objective: the sum of its five parts"},
      {run, "loss_cross_entropy", {"row"}, f64, invariant, "nat", "cross-entropy a token"},
      {run, "loss_head_z", {"row"}, f64, invariant, "1", "z-loss of the head, coefficient included"},
      {run,
       "loss_aux",
       {"row"},
       f64,
       invariant,
       "1",
       "Switch balancing loss, summed over layers, coefficient included"},
      {run,
       "loss_importance",
       {"row"},
       f64,
       invariant,
       "1",
       "importance loss, summed over layers, coefficient included"},
      {run,
       "loss_router_z",
       {"row"},
       f64,
       invariant,
       "1",
       "z-loss of the routers, summed over layers, coefficient included"},
      {run, "learning_rate", {"row"}, f64, invariant, "1", "learning rate of the step"},
      {run, "gradient_norm", {"row"}, f64, invariant, "1", "global gradient norm before clipping"},
      {run, "wall_seconds", {"row"}, f64, timing, "s", "duration of the step"},
      {run, "tokens_per_second", {"row"}, f64, timing, "tokens/s", "tokens of the step by its duration"},
      {run,
       "phase_seconds",
       {"row", "phase"},
       f64,
       timing,
       "s",
       "time in a phase, largest over ranks; record, evaluate and checkpoint: since the row before"},
      {run, "phase_bytes", {"row", "phase"}, i64, layout, "bytes", "sent to other ranks in a phase, sum over ranks"},
      {run,
       "assigned",
       {"row", "layer", "expert"},
       i64,
       invariant,
       "tokens",
       "choices before drop; a layer's sum is step_tokens * top_k"},
      {run, "kept", {"row", "layer", "expert"}, i64, invariant, "tokens", "choices after drop"},
      {run, "prob_mass", {"row", "layer", "expert"}, f64, invariant, "1", "sum over tokens of the normalised score"},
      {run, "bias", {"row", "layer", "expert"}, f32, invariant, "1", "selection bias used in this step"},
      {run, "entropy", {"row", "layer"}, f64, invariant, "nat", "entropy of the normalised scores, mean over tokens"},
      {run, "max_vio", {"row", "layer"}, f64, invariant, "1", "(largest - mean) / mean of assigned"},
      {run,
       "max_vio_floor",
       {"row", "layer"},
       f64,
       invariant,
       "1",
       "MaxVio expected if every token chose top_k of the layer's experts uniformly at random"},
      {run, "drop_share", {"row", "layer"}, f64, invariant, "1", "1 - kept / assigned"},
      {run,
       "margin",
       {"row", "layer", "margin_bin"},
       i64,
       invariant,
       "tokens",
       "histogram of last chosen minus first refused score"},
      {run,
       "traffic",
       {"row", "rank_from", "rank_to"},
       i64,
       layout,
       "rows",
       "rows sent at dispatch, summed over layers; sums to the sum of kept"},
      {run, "evaluation_step", {"evaluation"}, i64, invariant, "steps", "steps done at the evaluation"},
      {run, "evaluation_loss", {"evaluation"}, f64, invariant, "nat", "held-out cross-entropy a token"},
      {run,
       "evaluation_bits_per_byte",
       {"evaluation"},
       f64,
       invariant,
       "bit",
       "held-out bits per byte of text; NaN where the bytes are unknown"},
      {evaluation, "token", {"sample"}, i32, invariant, "1", "token id"},
      {evaluation, "next", {"sample"}, i32, invariant, "1", "id of the token that follows"},
      {evaluation, "position", {"sample"}, i32, invariant, "tokens", "place in its sequence"},
      {evaluation, "document", {"sample"}, i64, invariant, "1", "index of its document in the split; -1 where unknown"},
      {evaluation,
       "domain",
       {"sample"},
       i32,
       invariant,
       "1",
       "index into the root attribute domains; -1 where unknown"},
      {evaluation, "token_text", {"vocabulary"}, text16, invariant, "1", "first 16 bytes of the token's text, UTF-8"},
      {evaluation, "step", {"evaluation"}, i64, invariant, "steps", "steps done at the evaluation"},
      {evaluation, "predicted", {"evaluation", "sample"}, i32, invariant, "1", "id of the most probable next token"},
      {evaluation, "loss", {"evaluation", "sample"}, f32, invariant, "nat", "cross-entropy of the next token"},
      {evaluation,
       "expert",
       {"evaluation", "sample", "layer", "choice"},
       i16,
       invariant,
       "1",
       "chosen expert; -1 beyond the choices of the layer"},
      {evaluation, "weight", {"evaluation", "sample", "layer", "choice"}, f32, invariant, "1", "combine weight"},
      {evaluation,
       "dropped",
       {"evaluation", "sample", "layer", "choice"},
       u8,
       invariant,
       "1",
       "1 where the expert was full"},
      {tokens, "step", {"sample"}, i64, invariant, "steps", "steps done, this one included"},
      {tokens, "sequence", {"sample"}, i64, invariant, "1", "index in the global batch"},
      {tokens, "position", {"sample"}, i32, invariant, "tokens", "place in its sequence"},
      {tokens, "token", {"sample"}, i32, invariant, "1", "token id"},
      {tokens,
       "expert",
       {"sample", "layer", "choice"},
       i16,
       invariant,
       "1",
       "chosen expert; -1 beyond the choices of the layer"},
      {tokens, "weight", {"sample", "layer", "choice"}, f32, invariant, "1", "combine weight"},
      {tokens, "kept", {"sample", "layer", "choice"}, u8, invariant, "1", "0 where the expert was full"},
  };
  return table;
}

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

bool deflated(const Variable& v) { return v.file != run || v.type == i32 || v.type == i64; }

const char* schema_name(FileKind file) {
  constexpr const char* names[] = {"switchyard-run", "switchyard-evaluation", "switchyard-tokens"};
  return names[static_cast<int>(file)];
}

const char* scope_name(Scope scope) {
  constexpr const char* names[] = {"invariant", "layout", "timing"};
  return names[static_cast<int>(scope)];
}

std::string schema_markdown() {
  std::ostringstream out;
  out << preamble;
  for (const FileKind file : {run, evaluation, tokens}) {
    const int f = static_cast<int>(file);
    out << "\n## " << file_names[f] << " (`" << schema_name(file) << "`)\n\n" << file_texts[f] << "\n\n";
    out << "| dimension | grows | meaning |\n|---|---|---|\n";
    for (const auto& d : dimensions_of(file))
      out << "| " << d.name << " | " << (d.growing ? "yes" : "") << " | " << d.meaning << " |\n";
    out << "\n| variable | dimensions | type | scope | units | meaning |\n|---|---|---|---|---|---|\n";
    for (const auto& v : variables_of(file)) {
      out << "| " << v.name << " | ";
      for (std::size_t i = 0; i < v.dims.size(); ++i) out << (i ? ", " : "") << v.dims[i];
      out << " | " << h5::name_of(v.type) << " | " << scope_name(v.scope) << " | " << v.units << " | " << v.long_name
          << " |\n";
    }
  }
  out << non_finite_text;
  return out.str();
}

}  // namespace switchyard::record
