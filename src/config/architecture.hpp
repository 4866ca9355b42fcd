// Every tensor of a model, once, as data: what the parameter store, the estimates, checkpoints and the names of
// exchange formats iterate over. No MPI, no Kokkos.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "config/layout.hpp"

namespace switchyard {

/// Whether every rank has a tensor, or its first axis is cut by experts.
enum class Placement { replicated, expert };
enum class Init { normal, ones };

/// Units begin at multiples of this in the slabs of a rank, so that blocks of a norm, slices of a reduction and shards
/// of a rank have one boundary. What fills a unit up is +0 in values, moments and gradients alike, and stays so.
constexpr std::int64_t unit_block = 4096;
constexpr std::int64_t padded_unit(std::int64_t elements) {
  return (elements + unit_block - 1) / unit_block * unit_block;
}

/// One tensor. A unit is the whole tensor, or one expert's part of it, or one chunk of that: units are what norms and
/// checkpoints count in, so nothing depends on which rank holds what of which expert.
struct TensorSpec {
  std::string name;                 ///< "blocks.1.moe.experts.up.weight"
  std::vector<std::int64_t> shape;  ///< global; experts: (E, …), or where their hidden width is cut (E·chunks, …)
  Placement placement = Placement::replicated;
  Init init = Init::normal;
  double init_std = 0.0;
  bool decay = true;  ///< takes part in weight decay
  int block = 0;      ///< which transformer block; −1 before the blocks, their number after them
  Role role = Role::feed_forward;
  int chunks = 1;                ///< of each expert, neighbours in the shape: moe.hidden_chunks
  bool chunks_of_input = false;  ///< they cut columns of an expert's matrix, not rows
  bool frozen = false;           ///< keeps its values and moments: train.frozen
  std::string adds_to;  ///< a second source of the gradient of the tensor of that name (tied embedding); has no value
                        ///< of its own

  /// Whether it has values and a step changes them: what a gradient norm and an update go over.
  bool updated() const { return adds_to.empty() && !frozen; }
  std::int64_t units() const { return placement == Placement::expert ? shape[0] : 1; }
  int experts() const { return static_cast<int>(shape[0] / chunks); }
  std::int64_t elements() const;
  std::int64_t unit() const { return elements() / units(); }  ///< elements of one unit
  /// Whether a row is multiplied by it: neither looked up nor a vector that scales or is added.
  bool read_by_product() const { return role != Role::embedding && shape.size() > 1; }
};

/// In the order of the data flow, whose places key the initial values; needs model.vocabulary > 0. Names and shapes
/// (d width, D head_dim, E experts of the block, h hidden width):
///   embedding.weight (V, d); embedding.gather where the head is tied
///   blocks.B.attention_norm.weight (d)
///   of a grouped attention blocks.B.attention.q.weight (heads·D, d), {k,v}.weight (kv_heads·D, d),
///     o.weight (d, heads·D); {q,k,v}.bias with attention_bias; {q,k}_norm.weight with query_key_norm
///   of a latent one, with R rope_dim, U value_dim: q_a.weight (query_rank, d), q_a_norm.weight (query_rank),
///     q_b.weight (heads·(D + R), query_rank), or q.weight (heads·(D + R), d) where query_rank is 0;
///     kv_a.weight (kv_rank + R, d), kv_a_norm.weight (kv_rank), kv_b.weight (heads·(D + U), kv_rank),
///     o.weight (d, heads·U)
///   blocks.B.feed_forward_norm.weight (d); feed_forward.{gate,up}.weight (h, d), down.weight (d, h) in a dense block
///   blocks.B.moe.{those of traits_of}.weight (E, d)
///   blocks.B.moe.experts.{gate,up}.weight (E, h, d), experts.down.weight (E, d, h); with C = moe.hidden_chunks above
///     1 (E·C, h/C, d) and (E·C, d, h/C): chunk c of expert e is [e·C + c]
///   blocks.B.moe.shared.… as of a dense block with shared_experts·h; moe.shared_gate.weight (1, d) with shared_gate
///   final_norm.weight (d)
///   head.weight (V, d) where it is not tied
std::vector<TensorSpec> architecture(const Config& config);
/// The part of it that stands in block b.
std::vector<TensorSpec> block_architecture(const Config& config, int b);

/// Units that the rank at a place of an expert-parallel group holds, in the order of its slabs: ascending.
std::vector<std::int64_t> held_units(const TensorSpec& tensor, const Layout& layout, int place);
/// The place that holds a unit of an expert tensor.
int place_of_unit(const TensorSpec& tensor, const Layout& layout, std::int64_t unit);

/// Consecutive blocks [first, last), from −1 to blocks + 1, whose gradients are summed over ranks together, in the
/// order in which a backward pass is through with them: the last block first. A bucket takes blocks until it has
/// bucket_elements, 4 MiB: fewer would be many messages and small shards, more would leave small models with one
/// bucket, which has nothing beside it.
std::vector<Range> gradient_buckets(const Config& config);
constexpr std::int64_t bucket_elements = std::int64_t{1} << 20;
constexpr Range all_blocks{-1, std::int64_t{1} << 31};

}  // namespace switchyard
