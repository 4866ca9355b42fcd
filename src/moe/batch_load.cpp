#include "moe/batch_load.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace switchyard::moe {
namespace {

template <class T, class S>
void add(const T* part, std::size_t n, S* whole) {
  std::transform(part, part + n, whole, whole, [](T a, S b) { return static_cast<S>(a) + b; });
}

/// Adds a host copy's rows to sum.
template <class M>
void add_rows(const M& rows, std::vector<std::int64_t>& sum, std::size_t at) {
  for (std::size_t s = 0; s < rows.extent(0) && rows.extent(1) > 0; ++s)
    add(&rows(s, 0), rows.extent(1), sum.data() + at);
}

void add(const Load& part, Load& whole) {
  whole.tokens += part.tokens;
  add(part.assigned.data(), part.assigned.size(), whole.assigned.data());
  add(part.mass.data(), part.mass.size(), whole.mass.data());
  whole.entropy += part.entropy;
  whole.squares += part.squares;
  whole.variance += part.variance;
  whole.weight += part.weight;
}

/// How many balancers have units inside the batch.
std::size_t inner_scopes(const Balancers& balancers) {
  return std::count_if(balancers.begin(), balancers.end(),
                       [](const auto& balancer) { return balancer->scope() != AuxScope::batch; });
}

/// The smallest scope of any balancer: scopes stand from the smallest to the largest.
AuxScope smallest_scope(const Balancers& balancers) {
  AuxScope smallest = AuxScope::batch;
  for (const auto& balancer : balancers) smallest = std::min(smallest, balancer->scope());
  return smallest;
}

std::size_t unit_count(AuxScope scope, std::size_t grains, std::size_t sequences) {
  return scope == AuxScope::batch ? 1 : scope == AuxScope::grain ? grains : sequences;
}

}  // namespace

BatchLoad::BatchLoad(Arena& arena, const Config& config, const nn::Rows& rows, const Tally& tally)
    : tally_{{arena, tally.assigned}, {arena, tally.kept}, {arena, tally.margin},
             {arena, tally.cutoffs},  {arena, tally.mass}, {arena, tally.sums}},
      grain_sequences_(config.grain_sequences()),
      context_(rows.context),
      tokens_(rows.count) {
  const std::size_t units = unit_count(smallest_scope(make_balancers(config)), rows.grain_count(), rows.sequences);
  coefficients_ = {arena, "moe::batch_load::coefficients", Account::activations,
                   static_cast<Index>(units * tally.mass.extent(1))};
  if (arena.places()) Kokkos::deep_copy(Vector<float>(coefficients_.device(), coefficients_.capacity()), 0.0f);
}

void BatchLoad::ask(const Queue& queue) {
  for (const auto* counts : {&tally_.assigned, &tally_.kept, &tally_.margin, &tally_.cutoffs}) counts->ask(queue);
  for (const auto* sums : {&tally_.mass, &tally_.sums}) sums->ask(queue);
  asked_ = true;
}

/// The tally as loads of sequences and grains; returns (assigned(E), kept(E), margin(bins), cutoffs(E, bins)) of this
/// rank.
std::vector<std::int64_t> BatchLoad::load(const Queue& queue) {
  if (!asked_) {
    ask(queue);
    queue.fence("switchyard::moe::batch_load::tally");
  }
  asked_ = false;
  const auto &assigned = tally_.assigned.host(), &kept = tally_.kept.host(), &margin = tally_.margin.host();
  const auto &mass = tally_.mass.host(), &sums = tally_.sums.host();
  const std::size_t experts = mass.extent(1);
  const Index count = assigned.extent(0);
  const Load empty{0, std::vector<std::int64_t>(experts, 0), std::vector<double>(experts, 0.0)};
  sequences_.resize(count, empty);
  grains_.assign(count / grain_sequences_, empty);
  for (Index s = 0; s < count; ++s) {
    Load& load = sequences_[s];
    load.tokens = context_;
    std::copy_n(&assigned(s, 0), experts, load.assigned.begin());
    std::copy_n(&mass(s, 0), experts, load.mass.begin());
    load.entropy = sums(s, entropy_sum), load.squares = sums(s, squares_sum);
    load.variance = sums(s, variance_sum), load.weight = sums(s, weight_sum);
    add(load, grains_[s / grain_sequences_]);
  }
  const auto& cutoffs = tally_.cutoffs.host();
  const std::size_t counted = 2 * experts + margin.extent(1);
  std::vector<std::int64_t> counts(counted, 0);
  add_rows(assigned, counts, 0);
  add_rows(kept, counts, experts);
  add_rows(margin, counts, 2 * experts);
  counts.insert(counts.end(), cutoffs.data(), cutoffs.data() + cutoffs.size());
  return counts;
}

/// Sum of the losses of a balancer's units in local grain g.
double BatchLoad::unit_losses(const Balancer& balancer, std::size_t g) const {
  if (balancer.scope() == AuxScope::grain) return balancer.unit_loss(grains_[g]);
  const std::size_t in_grain = sequences_.size() / grains_.size();
  double sum = 0.0;
  for (std::size_t s = g * in_grain; s < (g + 1) * in_grain; ++s) sum += balancer.unit_loss(sequences_[s]);
  return sum;
}

/// (local grains, E + sums_of_tokens + inner_scopes): masses, sums over tokens in the order of SumOfTokens, losses of
/// units.
std::vector<double> BatchLoad::grain_sums(const Balancers& balancers) const {
  std::vector<double> sums;
  for (std::size_t g = 0; g < grains_.size(); ++g) {
    sums.insert(sums.end(), grains_[g].mass.begin(), grains_[g].mass.end());
    sums.insert(sums.end(), {grains_[g].entropy, grains_[g].squares, grains_[g].variance, grains_[g].weight});
    for (const auto& balancer : balancers)
      if (balancer->scope() != AuxScope::batch) sums.push_back(unit_losses(*balancer, g));
  }
  return sums;
}

void BatchLoad::add_to(RankLoad& all, const Queue& queue, const Balancers& balancers) {
  const std::vector<std::int64_t> counts = load(queue);
  const std::vector<double> sums = grain_sums(balancers);
  all.counts.resize(counts.size(), 0);
  std::transform(counts.begin(), counts.end(), all.counts.begin(), all.counts.begin(), std::plus<>());
  all.grains.insert(all.grains.end(), sums.begin(), sums.end());
  all.values = tally_.mass.device().extent(1) + sums_of_tokens + inner_scopes(balancers);
}

LayerStatistics BatchLoad::take(const Config& config, const Balancers& balancers, const comm::JointSum& sum) {
  const auto counts = sum.counts(place_);
  const auto sums = sum.values(place_);
  const std::size_t experts = sums.size() - sums_of_tokens - inner_scopes(balancers);
  const auto past_margin = counts.end() - static_cast<std::ptrdiff_t>(tally_.cutoffs.device().size());
  LayerStatistics s;
  s.experts = static_cast<int>(experts);
  s.assigned.assign(counts.begin(), counts.begin() + experts);
  s.kept.assign(counts.begin() + experts, counts.begin() + 2 * experts);
  s.margin.assign(counts.begin() + 2 * experts, past_margin);
  s.cutoffs.assign(past_margin, counts.end());
  s.prob_mass.assign(sums.begin(), sums.begin() + experts);
  const double* of_tokens = &sums[experts];
  batch_ = {config.step_tokens(),    s.assigned,           s.prob_mass, of_tokens[entropy_sum], of_tokens[squares_sum],
            of_tokens[variance_sum], of_tokens[weight_sum]};
  const auto tokens = static_cast<double>(batch_.tokens);
  s.entropy = batch_.entropy / tokens;
  s.score_spread = std::sqrt(batch_.variance / tokens);
  s.mean_weight = batch_.weight / (tokens * config.moe.top_k);
  std::size_t place = experts + sums_of_tokens;
  for (const auto& balancer : balancers) {
    const double units = balancer->scope() == AuxScope::grain ? config.train.grains : config.train.batch;
    const double mean = balancer->scope() == AuxScope::batch ? 0.0 : sums[place++] / units;
    s.*(balancer->part()) += balancer->loss(batch_, mean);
  }
  return s;
}

void BatchLoad::take_own(const Config& config, const Queue& queue) {
  load(queue);
  const std::size_t experts = tally_.mass.device().extent(1);
  batch_ = {config.step_tokens(), std::vector<std::int64_t>(experts, 0), std::vector<double>(experts, 0.0)};
}

/// The unit of `scope` that unit u of the smallest scope is part of.
const Load& BatchLoad::unit(AuxScope scope, AuxScope smallest, std::size_t u) const {
  if (scope == AuxScope::batch) return batch_;
  if (scope == smallest) return scope == AuxScope::grain ? grains_[u] : sequences_[u];
  return grains_[u / (sequences_.size() / grains_.size())];
}

BatchLoad::Gradient BatchLoad::gradient(const Queue& queue, const Balancers& balancers) {
  if (!any_loss(balancers))
    return {Matrix<float>(coefficients_.device(), 1, tally_.mass.device().extent(1)), tokens_, 0.0f};
  const AuxScope smallest = smallest_scope(balancers);
  const std::size_t experts = batch_.mass.size();
  const std::size_t units = unit_count(smallest, grains_.size(), sequences_.size());
  const Index local = std::accumulate(sequences_.begin(), sequences_.end(), Index{0},
                                      [](Index n, const Load& l) { return n + l.tokens; });
  const auto all = static_cast<Index>(units * experts);
  coefficients_.reserve(all);
  std::fill_n(coefficients_.host(), all, 0.0f);
  double z = 0.0;
  for (const auto& balancer : balancers) z += balancer->lse_slope(batch_.tokens);
  for (std::size_t u = 0; u < units; ++u)
    for (const auto& balancer : balancers) {
      const Load& load = unit(balancer->scope(), smallest, u);
      const double share = static_cast<double>(load.tokens) / static_cast<double>(batch_.tokens);
      balancer->add_gradient(load, share, coefficients_.host() + u * experts);
    }
  coefficients_.to_device(queue, all);
  return {Matrix<float>(coefficients_.device(), units, experts), local / static_cast<Index>(units),
          static_cast<float>(z)};
}

}  // namespace switchyard::moe
