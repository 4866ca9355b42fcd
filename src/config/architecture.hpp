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
/// What a tensor is to a token that passes: read by a product (router and shared experts included), looked up, scaled
/// by.
enum class Role { embedding, norm, attention, router, feed_forward, shared_expert, expert, head };

/// Units begin at multiples of this in the slabs of a rank, so that blocks of a norm, slices of a reduction and shards
/// of a rank have one boundary. What fills a unit up is +0 in values, moments and gradients alike, and stays so.
constexpr std::int64_t unit_block = 4096;
constexpr std::int64_t padded_unit(std::int64_t elements) {
  return (elements + unit_block - 1) / unit_block * unit_block;
}

/// One tensor. A unit is the whole tensor, or one expert's part of it: units are what norms and checkpoints count in,
/// so nothing depends on which rank holds which expert.
struct TensorSpec {
  std::string name;                 ///< "blocks.1.moe.experts.up.weight"
  std::vector<std::int64_t> shape;  ///< global; experts: (E, …)
  Placement placement = Placement::replicated;
  Init init = Init::normal;
  double init_std = 0.0;
  bool decay = true;  ///< takes part in weight decay
  int block = 0;      ///< which transformer block; −1 before the blocks, their number after them
  Role role = Role::feed_forward;
  std::string adds_to;  ///< a second source of the gradient of the tensor of that name (tied embedding); has no value
                        ///< of its own

  std::int64_t units() const { return placement == Placement::expert ? shape[0] : 1; }
  std::int64_t elements() const;
  std::int64_t unit() const { return elements() / units(); }  ///< elements of one unit
};

/// In the order of the data flow, whose places key the initial values; needs model.vocabulary > 0. Names and shapes
/// (d width, D head_dim, E experts of the block, h hidden width):
///   embedding.weight (V, d); embedding.gather where the head is tied
///   blocks.B.attention_norm.weight (d)
///   blocks.B.attention.{q,o}.weight (d, d), {k,v}.weight (kv_heads·D, d) of a grouped attention
///   blocks.B.feed_forward_norm.weight (d); feed_forward.{gate,up}.weight (h, d), down.weight (d, h) in a dense block
///   blocks.B.moe.{those of traits_of}.weight (E, d)
///   blocks.B.moe.experts.{gate,up}.weight (E, h, d), experts.down.weight (E, d, h)
///   blocks.B.moe.shared.… as of a dense block with shared_experts·h
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
/// bucket_elements, so that messages are neither many nor late.
std::vector<Range> gradient_buckets(const Config& config);
constexpr std::int64_t bucket_elements = std::int64_t{1} << 22;
constexpr Range all_blocks{-1, std::int64_t{1} << 31};

}  // namespace switchyard
