#include "moe/tally.hpp"

#include "moe/cutoffs.hpp"

namespace switchyard::moe {

Tally make_tally(Arena& arena, const nn::Rows& rows, int experts, const TallyBins& bins) {
  Tally t;
  t.assigned = arena.matrix<std::int32_t>(rows.sequences, experts);
  t.kept = arena.matrix<std::int32_t>(rows.sequences, experts);
  t.margin = arena.matrix<std::int32_t>(rows.sequences, bins.margin);
  t.mass = arena.matrix<double>(rows.sequences, experts);
  t.sums = arena.matrix<double>(rows.sequences, sums_of_tokens);
  t.token_margin = arena.vector<float>(rows.count);
  t.facts = make_token_facts(arena, rows.count);
  t.cutoffs = arena.matrix<std::int32_t>(experts, bins.cutoff);
  return t;
}

TokenFacts make_token_facts(Arena& arena, Index tokens) {
  return {arena.vector<float>(tokens), arena.vector<float>(tokens), arena.vector<float>(tokens)};
}

void count(const Queue& queue, const Choice& choice, const Scores& scores, const SelectionBias& bias,
           const Tally& tally) {
  if (choice.tokens() > 0) {
    find_token_facts(queue, choice, scores.score, bias.of, tally.facts);
    count_sequences(queue, choice, scores, tally);
  }
  if (tally.cutoffs.extent(1) > 0) count_cutoffs(queue, scores.score, tally.facts.cutoff, bias.bins, tally.cutoffs);
}

}  // namespace switchyard::moe
