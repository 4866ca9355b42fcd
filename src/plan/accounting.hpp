// What a model has and what a token uses of it, by arithmetic over the list of its tensors: exact integers, also of
// models that the trainer cannot build. No MPI, no Kokkos.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "config/config.hpp"

namespace switchyard::plan {

/// Parameters of one part of a model, all blocks together.
struct PartCount {
  std::string name;         ///< "shared experts"
  std::int64_t total = 0;   ///< that it has
  std::int64_t active = 0;  ///< that one token uses: of routed experts those of its choices, of the rest all
};

/// Published numbers of active parameters differ in the embeddings they count, so all three are here. A selection bias
/// (moe.bias_rule; E numbers a mixture) is counted, as released models do that have one, though it is not trained and
/// `switchyard check` leaves it out. Heads for further tokens are not.
struct Accounting {
  std::int64_t total = 0;
  std::int64_t active = 0;                     ///< input embedding and head in full, though a token looks up one row
  std::int64_t active_without_input = 0;       ///< input embedding left out; a tied one stays, as it is the head
  std::int64_t active_without_embeddings = 0;  ///< input embedding and head left out
  std::vector<PartCount> parts;   ///< embedding, attention, norms, router, dense feed-forward, shared experts, experts,
                                  ///< head: in this order, those without parameters too; a tied head has none
  std::int64_t product_flop = 0;  ///< of a token, forward: two for each weight of a product that it meets
  std::int64_t attention_flop = 0;  ///< of a token, forward, on average over a sequence of model.context: scores and
                                    ///< sums of values, causal; T·heads·(query_dim + value_dim) a block
  std::int64_t flop() const { return product_flop + attention_flop; }
};

/// Needs model.vocabulary > 0 and a configuration that validate(…, Use::count) finds nothing wrong with, so that all
/// sums fit.
Accounting count_parameters(const Config& config);

/// Whole lines for people.
std::string accounting_text(const Accounting& accounting);
/// One line of JSON with the same numbers: parameters {total, active, active_without_input, active_without_embeddings},
/// parts {name: {total, active}}, forward_flop_per_token {products, attention, total}.
std::string accounting_json(const Accounting& accounting);

}  // namespace switchyard::plan
