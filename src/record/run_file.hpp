// run.h5 of one segment: one row a step. Serial HDF5, whole chunks, flushed. Schema:
// docs/record-schema.md.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/timers.hpp"
#include "config/config.hpp"
#include "model/loss.hpp"
#include "moe/statistics.hpp"

namespace switchyard::record {

/// What ranks send each other in a step, and how long that takes.
struct CommunicationRow {
  /// (purposes) sums over ranks, and of these what went to other nodes.
  std::vector<std::int64_t> bytes, messages, bytes_across, messages_across;
  double busy = 0.0, exposed = 0.0;                    ///< s, means over ranks
  std::vector<double> purpose_busy, purpose_exposed;   ///< (purposes) s, likewise
  double exposed_share = 0.0;                          ///< of the mean length of the step
  double hop_p50 = 0.0, hop_p99 = 0.0, hop_max = 0.0;  ///< s, of all hops of all ranks
};

/// One step as rank 0 knows it after the reductions.
struct StepRow {
  std::int64_t step = 0;    ///< steps done, this one included: the first row has 1
  std::int64_t tokens = 0;  ///< trained so far, this step included
  model::LossParts loss;
  double learning_rate = 0.0;
  double gradient_norm = 0.0;
  double wall_seconds = 0.0;        ///< of the step
  std::vector<double> seconds;      ///< (phases) largest over ranks
  std::vector<std::int64_t> bytes;  ///< (phases) sum over ranks
  std::int64_t peak_bytes = 0;      ///< largest resident memory of the processes so far, sum over ranks
  std::vector<moe::LayerStatistics> layers;
  std::vector<std::int64_t> traffic;  ///< (ranks, ranks) rows sent at dispatch, summed over layers
  CommunicationRow communication;
};

/// The node of every rank.
struct RankNodes {
  RankNodes(int ranks) : of(static_cast<std::size_t>(ranks), 0) {}  // NOLINT: so many on one node
  explicit RankNodes(const std::vector<int>& nodes) : of(nodes.begin(), nodes.end()) {}
  std::vector<std::int32_t> of;
  int ranks() const { return static_cast<int>(of.size()); }
};

struct EvaluationRow {
  static constexpr std::int64_t blocks = 64;  ///< parts of the held-out text, for a bootstrap over them
  std::int64_t step = 0;
  double loss = 0.0;                                                  ///< cross-entropy, nat per token
  double bits_per_byte = 0.0;                                         ///< NaN where the corpus does not know its bytes
  std::vector<double> block_loss = std::vector<double>(blocks, 0.0);  ///< (blocks) nat per token; NaN without tokens
};

/// Begin and end of every task and hop of a step on every rank, and what was sent by whom to whom; tasks are those of
/// schedule::make_tasks, hops of schedule::hops_of, in their order.
struct TimelineRow {
  std::int64_t step = 0;
  std::vector<double> step_start, step_end;             ///< (ranks) s since rank 0 began the step
  std::vector<double> start, end;                       ///< (ranks, tasks) the same
  std::vector<std::int64_t> bytes;                      ///< (ranks, tasks) sent to other ranks
  std::vector<double> hop_start, hop_end, hop_waited;   ///< (ranks, hops) s; where nothing travels all 0
  std::vector<std::int64_t> hop_bytes;                  ///< (ranks, hops) sent to other ranks
  std::vector<std::int64_t> pair_bytes, pair_messages;  ///< (purposes, ranks, ranks)
};

class RunFile {
 public:
  /// Creates the file; throws Error{storage} where the disk is full. `provenance` is JSON text, `config_text` YAML.
  /// The segment's number is the name of the folder that `path` stands in. Its first row will be of step
  /// begins_after + 1: what earlier segments hold beyond `begins_after` is superseded.
  RunFile(const std::string& path, const Config& config, const RankNodes& nodes, const std::string& config_text,
          const std::string& provenance, std::int64_t begins_after);
  ~RunFile();
  /// Buffers; writes and flushes a chunk at every step that record.flush_every divides, so that the rows up to a
  /// checkpoint are in the file. A file whose first step is within a chunk ends with that chunk: see Trainer.
  void append(const StepRow& row);
  void append(const EvaluationRow& row);  ///< written and flushed at once
  void append(const TimelineRow& row);    ///< the same
  /// fsync of what has been flushed: before a checkpoint, so that no checkpoint outlives the rows before it.
  void sync();
  /// Writes what is buffered as a last, part-filled chunk and closes. Before a checkpoint that does not fall on a
  /// chunk's end, since its rows would be lost with the process otherwise.
  void close();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace switchyard::record
