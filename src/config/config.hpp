// Every option of a run, declared once: default, unit and help stand beside each other. No YAML here.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/enums.hpp"
#include "config/model_config.hpp"
#include "config/moe_config.hpp"
#include "config/train_config.hpp"

namespace switchyard {

/// Where the tokens come from.
struct DataConfig {
  std::string path = "corpus";
  std::uint64_t seed = 1;

  static void fields(auto& self, auto&& f) {
    f("path", self.path, "", "folder with manifest.json, or one .bin shard in the llm.c format");
    f("seed", self.seed, "", "orders the sequences");
  }
};

/// What a placement file says (docs/placement.md).
struct SeatOrders {
  std::map<int, std::vector<int>> by_block;  ///< experts by seat; seat s is where expert s lives without a placement
  std::string sha256;                        ///< of the file
};
constexpr const char* contiguous_placement = "contiguous";

/// How the run is spread over ranks. Nothing here changes a bit of the results, but for determinism `run`.
struct LayoutConfig {
  int expert_parallel = 0;
  int expert_tensor_parallel = 1;
  ExchangeKind exchange = ExchangeKind::pairwise;
  TransportChoice transport = TransportChoice::auto_;
  bool local_first = false;
  ScheduleKind schedule = ScheduleKind::serial;
  int lanes = 1;
  int waves = 1;
  double poll = 0.0;
  int threads = 1;
  double timeout = 600.0;
  double delay = 0.0;
  int ranks_per_node = 0;
  int zero = 0;
  std::string placement = contiguous_placement;
  std::string machine;
  Recompute recompute = Recompute::none;
  std::vector<int> recompute_blocks;
  std::shared_ptr<const SeatOrders> seat_orders{};  ///< no option: what the file of `placement` says, once it is read

  /// Whether a token goes once to each node, or rank, that holds experts of its choices; else once for each choice.
  bool by_nodes() const { return exchange == ExchangeKind::node || exchange == ExchangeKind::gather; }

  static void fields(auto& self, auto&& f) {
    f("expert_parallel", self.expert_parallel, "ranks",
      "ranks that together hold every expert once; must divide the ranks; 0 means all ranks");
    f("expert_tensor_parallel", self.expert_tensor_parallel, "ranks",
      "neighbours among them that share each expert, whose hidden width they cut; must divide expert_parallel and "
      "moe.hidden_chunks");
    f("exchange", self.exchange, "",
      "how rows go between ranks; pairwise and alltoallv: one for each choice; node: a token once to each node that "
      "holds experts of its choices, handed on there; gather: and inside a node once to each such rank, selected "
      "there");
    f("transport", self.transport, "",
      "how rows travel between two ranks; window: where they share memory, the one reads what the other has, and by "
      "mpi elsewhere; auto: window where that works and memory is the host's, else mpi");
    f("local_first", self.local_first, "", "experts compute the rows that stay on their rank while the others travel");
    f("schedule", self.schedule, "",
      "what is done while rows travel; serial: nothing, pipelined: experts of other lanes, interleaved: all of them");
    f("lanes", self.lanes, "",
      "parts of a rank's grains, each on its way by itself: a power of two; 0: what is measured to be fastest, in a "
      "few "
      "steps on random tokens before the run");
    f("waves", self.waves, "",
      "equal parts of the lanes, one after another: while a wave goes forward the one before goes back; a power of "
      "two that divides lanes. Not with a loss of the whole batch's loads, nor with experts that are made again");
    f("poll", self.poll, "us",
      "how often rows that are on their way are looked after while a rank computes; 0: so that it takes a hundredth of "
      "the time, by what it is measured to take");
    f("threads", self.threads, "", "threads of one rank");
    f("timeout", self.timeout, "s",
      "ends the job, with exit code 9, once the ranks of a node make no progress for this long, and at once where one "
      "of "
      "them dies; 0 means never");
    f("delay", self.delay, "us",
      "every task of a training step begins, on each rank, after a random time of at most this, other times for "
      "another value: to test that no order of events changes a bit");
    f("ranks_per_node", self.ranks_per_node, "ranks",
      "contiguous ranks that count as one node; 0: those that share memory");
    f("zero", self.zero, "",
      "1: the optimizer's state of a parameter is sharded over the ranks that hold it (ZeRO stage 1); 0: every one of "
      "them has all of it");
    f("placement", self.placement, "",
      "where experts live: contiguous, in the order of their numbers, or the file that `yardstick placement` wrote");
    f("machine", self.machine, "",
      "what `switchyard bench machine` wrote, to say where a run hides less of its communication than `plan` predicts; "
      "empty: nothing is predicted");
    f("recompute", self.recompute, "",
      "what a backward pass makes again rather than keep: nothing, the hidden rows of experts, or whole blocks");
    f("recompute_blocks", self.recompute_blocks, "", "the blocks that recompute is for; empty: all of them");
  }
};

/// What is written and how often.
struct RecordConfig {
  std::int64_t flush_every = 10;
  std::int64_t sample_every = 100;
  std::int64_t timeline_every = 100;
  std::int64_t log_every = 10;
  int margin_bins = 16;

  static void fields(auto& self, auto&& f) {
    f("flush_every", self.flush_every, "steps",
      "rows of one chunk: a row is safe once its chunk is flushed; divides train.checkpoint_every");
    f("sample_every", self.sample_every, "steps", "every token's routing is kept at these steps; 0 means never");
    f("timeline_every", self.timeline_every, "steps",
      "begin and end of every task on every rank are kept at these steps; 0 means never");
    f("log_every", self.log_every, "steps", "lines of the log; at least one a minute is written");
    f("margin_bins", self.margin_bins, "",
      "bins of the histogram of the margin between the last chosen and the first refused score");
  }
};

struct Config {
  ModelConfig model;
  MoeConfig moe;
  DataConfig data;
  TrainConfig train;
  LayoutConfig layout;
  RecordConfig record;

  static void fields(auto& self, auto&& f) {
    f("model", self.model, "", "the transformer");
    f("moe", self.moe, "", "mixture-of-experts layers");
    f("data", self.data, "", "tokens");
    f("train", self.train, "", "optimization");
    f("layout", self.layout, "", "ranks and threads");
    f("record", self.record, "", "what is written");
  }

  int head_dim() const { return model.head_dim ? model.head_dim : model.width / model.heads; }
  int kv_heads() const { return model.kv_heads ? model.kv_heads : model.heads; }
  /// Channels of a head's query, and of its values.
  int query_dim() const { return head_dim() + (model.attention == AttentionKind::latent ? model.rope_dim : 0); }
  int value_dim() const { return model.value_dim ? model.value_dim : head_dim(); }
  /// Sequences of one grain.
  int grain_sequences() const { return train.batch / train.grains; }
  /// Tokens of one step.
  std::int64_t step_tokens() const { return std::int64_t{train.batch} * model.context; }
  /// Experts of block b (0-based); 0 means a dense block.
  int block_experts(int b) const {
    if (!moe.experts_per_block.empty()) return moe.experts_per_block[b];
    return b >= moe.first_dense && (b + 1) % moe.every == 0 ? moe.experts : 0;
  }
};

/// One broken rule between options: the key it is about and what is wrong.
struct Violation {
  std::string key;  ///< "moe.top_k"
  std::string message;
};

/// What a configuration is meant for: counting needs no trainer that can build it.
enum class Use { train, count };

/// Every rule between options that `config` breaks; `ranks` = 0 leaves out the rules about the layout.
std::vector<Violation> validate(const Config& config, int ranks, Use use = Use::train);

}  // namespace switchyard
