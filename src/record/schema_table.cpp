// The table of the record schema itself; the variables of run.h5 stand in schema_run.cpp.
#include "record/schema.hpp"

namespace switchyard::record {
namespace {

using enum FileKind;
using enum Scope;
using enum hdf5::Type;

}  // namespace

const std::vector<Dimension>& dimensions() {
  static const std::vector<Dimension> table{
      {run, "row", true, "training steps of this segment"},
      {run, "evaluation", true, "evaluations of this segment"},
      {run, "layer", false, "mixture-of-experts layers, in block order", 1, true},
      {run, "expert", false, "experts, up to the largest number in any layer", 1, true},
      {run, "phase", false, "phases of a step"},
      {run, "evaluation_block", false, "equal contiguous parts of the held-out text of an evaluation", 2},
      {run, "margin_bin", false, "equal bins of the margin over [0, 1]"},
      {run, "rank_from", false, "sending rank"},
      {run, "rank_to", false, "receiving rank"},
      {run, "timeline", true, "steps of this segment whose tasks were timed", 4},
      {run, "timeline_rank", false, "ranks of this segment", 4},
      {run, "task", false, "tasks of a step, in the order in which they are run", 4},
      {run, "hop", false, "hops of rows and gradients between ranks, in the order of the tasks that send them", 5,
       true},
      {run, "purpose", false, "what is sent to other ranks in a step, by what it is for", 5},
      {evaluation, "evaluation", true, "evaluations of this segment"},
      {evaluation, "sample", false, "the first held-out tokens, at most 65536, the same every time"},
      {evaluation, "layer", false, "mixture-of-experts layers, in block order", 1, true},
      {evaluation, "choice", false, "choices of a token, best first"},
      {evaluation, "vocabulary", false, "token ids"},
      {tokens, "sample", true, "sampled tokens of this rank, ordered by step, sequence, position"},
      {tokens, "layer", false, "mixture-of-experts layers, in block order"},
      {tokens, "choice", false, "choices of a token, best first"},
      {results, "row", true, "evaluations of finished tasks, by task and step"},
      {results, "block", false, "equal contiguous parts of the held-out text of an evaluation"},
  };
  return table;
}

namespace {

/// Of all files but run.h5.
std::vector<Variable> other_variables() {
  return {
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
      {results, "task", {"row"}, i32, invariant, "1", "index of the task in the sweep"},
      {results, "arm", {"row"}, text16, invariant, "1", "name of what is compared; empty where the sweep has no arms"},
      {results,
       "branch",
       {"row"},
       text32,
       invariant,
       "1",
       "trunk, or of a branch the steps at its end (s2000); empty where the sweep has no branches",
       7},
      {results, "num_experts", {"row"}, i32, invariant, "1", "experts of a layer, granularity included"},
      {results, "k", {"row"}, i32, invariant, "1", "choices of a token, granularity included"},
      {results, "granularity", {"row"}, i32, invariant, "1", "parts that each expert is cut into"},
      {results, "seed", {"row"}, i64, invariant, "1", "seed of weights, noise and order"},
      {results, "router_type", {"row"}, text16, invariant, "1", "moe.router"},
      {results, "routing_frequency", {"row"}, f64, invariant, "1", "share of blocks that route"},
      {results, "d_model", {"row"}, i32, invariant, "1", "model.width"},
      {results, "num_blocks", {"row"}, i32, invariant, "1", "model.blocks"},
      {results, "num_heads", {"row"}, i32, invariant, "1", "model.heads"},
      {results, "total_parameter_count", {"row"}, f64, invariant, "1", "parameters of the model"},
      {results,
       "dense_parameter_count",
       {"row"},
       f64,
       invariant,
       "1",
       "weights that a token meets in the blocks, without router, norms and embeddings"},
      {results, "flops_per_step", {"row"}, f64, invariant, "FLOP", "of a training step, forward and backward"},
      {results, "step", {"row"}, i64, invariant, "steps", "steps done"},
      {results, "tokens", {"row"}, i64, invariant, "tokens", "tokens trained on"},
      {results,
       "loss_train",
       {"row"},
       f64,
       invariant,
       "nat",
       "cross-entropy a token, mean of the steps since the evaluation before"},
      {results, "loss_validation", {"row"}, f64, invariant, "nat", "held-out cross-entropy a token"},
      {results,
       "bits_per_byte",
       {"row"},
       f64,
       invariant,
       "bit",
       "held-out bits per byte of text; NaN where the bytes are unknown"},
      {results,
       "max_vio",
       {"row"},
       f64,
       invariant,
       "1",
       "mean over layers and steps since the evaluation before; NaN for a dense model"},
      {results, "max_vio_floor", {"row"}, f64, invariant, "1", "the same of what chance gives"},
      {results,
       "drop_share",
       {"row"},
       f64,
       invariant,
       "1",
       "dropped choices, mean over layers and steps since the evaluation before"},
      {results,
       "seconds_per_step",
       {"row"},
       f64,
       timing,
       "s",
       "median duration of the steps since the evaluation before",
       2},
      {results,
       "peak_bytes",
       {"row"},
       f64,
       timing,
       "bytes",
       "largest resident memory of the processes so far (on the host), sum over ranks; NaN where not recorded",
       2},
      {results,
       "block_loss",
       {"row", "block"},
       f64,
       invariant,
       "nat",
       "held-out cross-entropy of each part; NaN where a run of schema version 1 did not record it"},
  };
}

}  // namespace

const std::vector<Variable>& variables() {
  static const std::vector<Variable> table = [] {
    std::vector<Variable> all = run_variables();
    for (const Variable& v : other_variables()) all.push_back(v);
    for (const Variable& v : option_variables()) all.push_back(v);
    return all;
  }();
  return table;
}

}  // namespace switchyard::record
