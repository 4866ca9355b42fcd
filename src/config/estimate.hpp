// What a run would be, by arithmetic: parameters, work, and resident bytes of a rank. No MPI, no Kokkos.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/checked.hpp"
#include "config/architecture.hpp"
#include "config/config.hpp"
#include "config/layout.hpp"

namespace switchyard {

/// Of the whole model; needs model.vocabulary > 0.
struct ModelSize {
  std::int64_t replicated = 0;  ///< parameters that every rank has
  std::int64_t experts = 0;     ///< parameters of routed experts, all of them
  std::int64_t active = 0;      ///< parameters that one token uses
  std::int64_t total() const { return replicated + experts; }
};
ModelSize model_size(const Config& config);

/// model_size(config).total() of a configuration that may be too large for it.
Checked checked_parameters(const Config& config);
/// The elements that the parameters take in slabs: units filled up, a tied embedding twice.
Checked checked_slab_elements(const Config& config);

/// Weights that a token meets in the blocks, without router, norms and embeddings: N of the scaling laws, the same for
/// every number of experts (Clark et al. 2022, `dense_parameter_count`).
std::int64_t dense_parameters(const Config& config);

/// FLOP of one token, forward and backward: 3·(2·w + B·2·T·d), w the weights of products that a token meets (router,
/// top-k and shared experts, attention, head; an embedding look-up is free), attention causal (half of 4·T·d a block).
double flop_per_token(const Config& config);

/// Bytes of one rank by kind, at even expert loads. N local tokens, n tree nodes of the local grains, R = k·N_group·e/E
/// rows at e of E experts, S = k·N rows sent, d width, kv = kv_heads·head_dim, V vocabulary, h hidden widths, m = 2 or
/// 3 (gated).
struct RankBytes {
  std::int64_t parameters = 0;  ///< 4·P, P = replicated + local experts, units filled up to 4096;
                                ///< a tied embedding counts twice (reserved place)
  std::int64_t moments = 0;     ///< 8·P
  /// 4·(n·P_replicated + n_group·P_expert), and the nodes of other ranks while a slice (at most 2^20 elements) is
  /// summed
  std::int64_t gradients = 0;
  /// 4·N·((B+1)·d stream, B·(5·d + 2·kv + heads + 2), dense m·h, 5·d + 2·kv backward, MoE 2E (+E noise))
  std::int64_t activations = 0;
  std::int64_t experts = 0;   ///< 4·R·(2·d + m·h) a MoE layer, and 4·N·m·h of shared experts
  std::int64_t exchange = 0;  ///< 4·d·(max(R, S) + R + 2·S) a MoE layer; 0 where an expert group is one rank
  std::int64_t head = 0;      ///< logits of one grain, subtrees of the weight gradient
  std::int64_t base = 0;      ///< fixed_base_bytes
  std::int64_t total() const {
    return parameters + moments + gradients + activations + experts + exchange + head + base;
  }
};

/// What a rank of a CPU build has resident beside the rest: MPI, Kokkos, HDF5, packed blocks of products. Measured:
/// peak resident bytes of `switchyard train` on shape XS less everything above, 37 to 43 MiB on 1 to 4 ranks with E = 8
/// to 256.
constexpr std::int64_t fixed_base_bytes = std::int64_t{40} << 20;

/// Of every rank; `ranks` must fit the configuration.
std::vector<RankBytes> rank_bytes(const Config& config, int ranks);
/// The layout of a run on these ranks, seen from rank 0.
Layout layout_of(const Config& config, int ranks);

/// What `switchyard check` prints: whole lines for people. `ranks` must fit the configuration.
std::string describe(const Config& config, int ranks);

/// One of its lines, and how it writes bytes: "12.3 MiB".
std::string describe_line(const std::string& name, const std::string& value);
std::string mebibytes(std::int64_t bytes);

/// What is allowed but seldom meant: one sentence each, with what to do.
std::vector<Violation> advice(const Config& config, int ranks);

}  // namespace switchyard
