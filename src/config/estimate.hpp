// What a run would be, by arithmetic: parameters and work; and its description for people. No MPI, no Kokkos.
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

/// Elements of a tensor of its architecture that one token uses: of routed experts those of its choices, else all.
std::int64_t used_elements(const Config& config, const TensorSpec& tensor);

/// model_size(config).total() of a configuration that may be too large for it.
Checked checked_parameters(const Config& config);
/// The elements that the parameters take in slabs: units filled up, a tied embedding twice.
Checked checked_slab_elements(const Config& config);

/// Weights that a token meets in the blocks, without router, norms and embeddings: N of the scaling laws, the same for
/// every number of experts (Clark et al. 2022, `dense_parameter_count`).
std::int64_t dense_parameters(const Config& config);

/// FLOP of one token, forward and backward: 3·(2·w + B·T·heads·(query_dim + value_dim)), w the weights of products that
/// a token meets (router, top-k and shared experts, attention, head; an embedding look-up is free), attention causal,
/// which halves its second term: B·2·T·d where heads share the width.
double flop_per_token(const Config& config);

/// Bytes of one rank by kind, at even expert loads: what the run itself asks its arenas for (train/memory.hpp).
struct RankBytes {
  std::int64_t parameters = 0;   ///< units filled up to 4096; a tied embedding counts twice (reserved place)
  std::int64_t moments = 0;      ///< two for each parameter; with shards (layout.zero 1) for each that the rank updates
  std::int64_t gradients = 0;    ///< one slab a tree node of the rank's pieces
  std::int64_t activations = 0;  ///< kept from the forward to the backward pass, but for what experts keep
  std::int64_t expert_rows = 0;  ///< rows of the rank's experts
  std::int64_t exchange = 0;     ///< rows on their way; nothing where an expert-parallel group is one rank
  std::int64_t scratch = 0;      ///< of the stage that needs most
  std::int64_t transient = 0;    ///< a sum of gradients over ranks; shards gathered for a checkpoint; on rank 0
                                 ///< record_base_bytes too
  std::int64_t base = 0;         ///< fixed_base_bytes
  std::int64_t total() const {
    return parameters + moments + gradients + activations + expert_rows + exchange + scratch + transient + base;
  }
};

/// What a rank of a CPU build has resident beside the rest: MPI, Kokkos, HDF5, packed blocks of products; and what
/// rank 0 needs while it writes records. Measured: peak resident bytes of `switchyard train` on shape XS less
/// everything above (a test prints both).
constexpr std::int64_t fixed_base_bytes = std::int64_t{40} << 20;
constexpr std::int64_t record_base_bytes = std::int64_t{6} << 20;

/// The layout of a run on these ranks, seen from rank 0.
Layout layout_of(const Config& config, int ranks);

/// What `switchyard check` prints: whole lines for people. `bytes` of every rank; their number must fit the
/// configuration.
std::string describe(const Config& config, const std::vector<RankBytes>& bytes);

/// One of its lines, and how it writes bytes, "12.3 MiB", and numbers, "46,702,792,704" (from 0 on).
std::string describe_line(const std::string& name, const std::string& value);
std::string mebibytes(std::int64_t bytes);
std::string with_commas(std::int64_t value);

/// What is allowed but seldom meant: one sentence each, with what to do.
std::vector<Violation> advice(const Config& config, int ranks);

}  // namespace switchyard
