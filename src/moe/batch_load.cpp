#include "moe/batch_load.hpp"

#include <algorithm>

namespace switchyard::moe {
namespace {

/// Adds a host copy's rows to sum.
template <class M>
void add_rows(const M& rows, std::vector<std::int64_t>& sum, std::size_t at) {
  for (std::size_t s = 0; s < rows.extent(0); ++s)
    for (std::size_t e = 0; e < rows.extent(1); ++e) sum[at + e] += rows(s, e);
}

void add(const Load& part, Load& whole) {
  whole.tokens += part.tokens;
  for (std::size_t e = 0; e < part.mass.size(); ++e) {
    whole.assigned[e] += part.assigned[e];
    whole.mass[e] += part.mass[e];
  }
}

/// (assigned(E), kept(E), margin(bins)) of this rank.
std::vector<std::int64_t> local_counts(const Tally& tally) {
  const std::size_t experts = tally.assigned.extent(1);
  std::vector<std::int64_t> counts(2 * experts + tally.margin.extent(1), 0);
  add_rows(Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), tally.assigned), counts, 0);
  add_rows(Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), tally.kept), counts, experts);
  add_rows(Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), tally.margin), counts, 2 * experts);
  return counts;
}

}  // namespace

/// Host copies of the tally as loads of sequences and grains.
void BatchLoad::load(const Tally& tally, Index grain_tokens) {
  const int experts = static_cast<int>(tally.mass.extent(1));
  const auto assigned = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), tally.assigned);
  const auto mass = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), tally.mass);
  const auto sums = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), tally.sums);
  const Index count = assigned.extent(0), context = count ? tally.token_margin.extent(0) / count : 1;
  const Index in_grain = grain_tokens / context, grains = count / in_grain;
  const Load empty{0, std::vector<std::int64_t>(experts, 0), std::vector<double>(experts, 0.0)};
  sequences_.assign(count, empty);
  grains_.assign(grains, empty);
  sums_.assign(2 * grains, 0.0);
  for (Index s = 0; s < count; ++s) {
    Load& load = sequences_[s];
    load.tokens = context;
    for (int e = 0; e < experts; ++e) load.assigned[e] = assigned(s, e), load.mass[e] = mass(s, e);
    add(load, grains_[s / in_grain]);
    for (int i = 0; i < 2; ++i) sums_[s / in_grain * 2 + i] += sums(s, i);
  }
}

/// (local grains, E + 3): masses, entropy, squared log-sum-exp, and the Switch loss where its scope is inside a grain.
std::vector<double> BatchLoad::grain_sums(const Config& config) const {
  const MoeConfig& moe = config.moe;
  const std::size_t in_grain = grains_.empty() ? 0 : sequences_.size() / grains_.size();
  std::vector<double> sums;
  for (std::size_t g = 0; g < grains_.size(); ++g) {
    sums.insert(sums.end(), grains_[g].mass.begin(), grains_[g].mass.end());
    sums.insert(sums.end(), {sums_[2 * g], sums_[2 * g + 1], 0.0});
    if (moe.aux_scope == AuxScope::grain) sums.back() = switch_loss(grains_[g], moe.top_k);
    if (moe.aux_scope != AuxScope::sequence) continue;
    for (std::size_t s = g * in_grain; s < (g + 1) * in_grain; ++s)
      sums.back() += switch_loss(sequences_[s], moe.top_k);
  }
  return sums;
}

void BatchLoad::offer(const Config& config, const Tally& tally, Index grain_tokens, comm::JointSum& sum) {
  load(tally, grain_tokens);
  place_ = sum.add(local_counts(tally), grain_sums(config), tally.mass.extent(1) + 3);
}

LayerStatistics BatchLoad::take(const Config& config, const comm::JointSum& sum) {
  const auto counts = sum.counts(place_);
  const auto sums = sum.values(place_);
  const std::size_t experts = sums.size() - 3;
  LayerStatistics s;
  s.experts = static_cast<int>(experts);
  s.assigned.assign(counts.begin(), counts.begin() + experts);
  s.kept.assign(counts.begin() + experts, counts.begin() + 2 * experts);
  s.margin.assign(counts.begin() + 2 * experts, counts.end());
  s.prob_mass.assign(sums.begin(), sums.begin() + experts);
  batch_ = {config.step_tokens(), s.assigned, s.prob_mass};
  const MoeConfig& moe = config.moe;
  const auto tokens = static_cast<double>(batch_.tokens);
  const double units = moe.aux_scope == AuxScope::grain ? config.train.grains : config.train.batch;
  s.entropy = sums[experts] / tokens;
  s.z_loss = moe.z_loss * sums[experts + 1] / tokens;
  if (moe.aux_loss > 0.0)
    s.aux_loss =
        moe.aux_loss * (moe.aux_scope == AuxScope::batch ? switch_loss(batch_, moe.top_k) : sums[experts + 2] / units);
  if (moe.importance_loss > 0.0) s.importance_loss = moe.importance_loss * importance_loss(moe.importance_form, batch_);
  return s;
}

BatchLoad::Coefficients BatchLoad::coefficients(const MoeConfig& moe, const RouterShape& shape) {
  const bool inner = moe.aux_loss > 0.0 && moe.aux_scope != AuxScope::batch;
  const std::vector<Load> whole(1, batch_);
  const std::vector<Load>& units = !inner ? whole : moe.aux_scope == AuxScope::grain ? grains_ : sequences_;
  Index local = 0;
  for (const Load& load : sequences_) local += load.tokens;
  const Index unit_tokens = inner ? units[0].tokens : local;
  const double each = inner ? static_cast<double>(unit_tokens) / static_cast<double>(batch_.tokens) : 1.0;
  const Index all = static_cast<Index>(units.size()) * shape.experts;
  coefficients_.reserve(all);
  std::fill_n(coefficients_.host(), all, 0.0f);
  for (std::size_t u = 0; u < units.size(); ++u) {
    float* of_unit = coefficients_.host() + u * shape.experts;
    if (moe.aux_loss > 0.0) add_switch_gradient(units[u], moe.top_k, moe.aux_loss * each, of_unit);
    if (moe.importance_loss > 0.0) add_importance_gradient(moe.importance_form, batch_, moe.importance_loss, of_unit);
  }
  coefficients_.to_device(all);
  return {Matrix<float>(coefficients_.device(), units.size(), shape.experts), unit_tokens};
}

}  // namespace switchyard::moe
