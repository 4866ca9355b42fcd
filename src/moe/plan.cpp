#include "moe/plan.hpp"

#include "base/check.hpp"

namespace switchyard::moe {

Index even_expert_rows(const Config& config, const Layout& layout, int experts) {
  const Index tokens = layout.my_group_grains().size() * config.grain_sequences() * config.model.context;
  return tokens * config.moe.top_k * layout.my_experts(experts).size() / experts;
}

Index most_choices(const Config& config, const Layout& layout) {
  return layout.my_grains().size() * config.grain_sequences() * config.model.context * config.moe.top_k;
}

Plan::Plan(Arena& arena, const Config& config, const Layout& layout, int experts)
    : layout_(layout), experts_(experts), mine_(layout_.my_experts(experts)), alone_(layout_.expert_parallel == 1) {
  const Index choices = most_choices(config, layout);
  token_ = {arena, "moe::plan::token", Account::activations, choices};
  row_ = {arena, "moe::plan::row", Account::activations, choices};
  received_ = {arena, "moe::plan::received", Account::expert_rows,
               alone_ ? 0 : even_expert_rows(config, layout, experts)};
  if (arena.places()) make_tables();
}

/// What does not depend on the choices.
void Plan::make_tables() {
  const int places = layout_.expert_parallel;
  for (int e = 0; e < experts_; ++e) place_.push_back(layout_.place_of_expert(e, experts_));
  first_piece_.assign(places + 1, 0);
  for (int side = 0; side < 2; ++side) mpi_counts_[side].assign(places, 0), mpi_offsets_[side].assign(places, 0);
  to_experts_.send.assign(places + 1, 0), to_experts_.receive.assign(places + 1, 0);
  expert_offsets_.assign(mine_.size() + 1, 0);
  piece_offsets_.assign(1, 0);
  traffic_.assign(layout_.ranks, 0);
}

int Plan::pieces_of(int place) const {
  if (!by_grains_) return 1;
  return static_cast<int>(layout_.grains_of(layout_.group() * layout_.expert_parallel + place).size());
}

void Plan::build(const Choice& choice, Pieces pieces, const comm::Communicator& group, const comm::Exchange& exchange) {
  tokens_ = choice.tokens(), capacity_ = choice.capacity();
  first_ = choice.first;
  by_grains_ = pieces == Pieces::grains;
  for (int p = 0; p < layout_.expert_parallel; ++p) first_piece_[p + 1] = first_piece_[p] + pieces_of(p);
  const auto first = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace{}, choice.first);
  const auto expert = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace{}, choice.expert);
  const auto kept = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace{}, choice.kept);
  expect(first[0] == 0 && first[tokens_] <= capacity_, "choices in the memory of their pass");
  count_choices({first.data(), expert.data(), kept.data()});
  order_choices({first.data(), expert.data(), kept.data()});
  exchange_counts(group);
  order_received();
  if (!alone_) itinerary_ = exchange.prepare(to_experts_);
}

/// The kept choices of each piece and expert, and where the send rows of an expert begin.
void Plan::count_choices(const HostChoices& choices) {
  const std::int64_t pieces = first_piece_[layout_.place() + 1] - first_piece_[layout_.place()];
  expect(tokens_ == 0 || (pieces > 0 && tokens_ % pieces == 0), "tokens in whole pieces");
  const Index piece_tokens = pieces ? tokens_ / pieces : 0;
  counts_out_.assign(pieces * experts_, 0);
  next_.assign(experts_ + 1, 0);
  for (std::int64_t g = 0; g < pieces; ++g) {
    const Index last = choices.first[(g + 1) * piece_tokens];
    for (Index i = choices.first[g * piece_tokens]; i < last; ++i) {
      if (!choices.kept[i]) continue;
      const int e = choices.expert[i];
      expect(e >= 0 && e < experts_, "a choice among the experts");
      const Range owned = layout_.experts_of(place_[e], experts_);
      ++counts_out_[pieces * owned.first + g * owned.size() + e - owned.first];
      ++next_[e + 1];
    }
  }
  for (int e = 0; e < experts_; ++e) next_[e + 1] += next_[e];
  const int first_rank = layout_.group() * layout_.expert_parallel;
  for (int p = 0; p < layout_.expert_parallel; ++p) {
    to_experts_.send[p + 1] = next_[layout_.experts_of(p, experts_).last];
    traffic_[first_rank + p] = to_experts_.send[p + 1] - to_experts_.send[p];
  }
}

/// Counting sort of the kept choices by expert; stable, so tokens stay ascending.
void Plan::order_choices(const HostChoices& choices) {
  const Index all = choices.first[tokens_];
  token_.reserve(send_rows());
  row_.reserve(all);
  std::int32_t *row = row_.host(), *token = token_.host();
  for (Index t = 0; t < tokens_; ++t)
    for (Index i = choices.first[t]; i < choices.first[t + 1]; ++i) {
      row[i] = choices.kept[i] ? static_cast<std::int32_t>(next_[choices.expert[i]]++) : -1;
      if (choices.kept[i]) token[row[i]] = static_cast<std::int32_t>(t);
    }
  token_.to_device(send_rows());
  row_.to_device(all);
}

/// Tells every place of the expert group how many rows of each of my pieces its experts get.
void Plan::exchange_counts(const comm::Communicator& group) {
  bytes_ = 0;
  counts_in_.resize(first_piece_.back() * mine_.size());
  if (alone_) {
    counts_in_ = counts_out_;
    return;
  }
  const int me = layout_.place();
  const std::int64_t my_pieces = first_piece_[me + 1] - first_piece_[me];
  for (int p = 0; p < layout_.expert_parallel; ++p) {
    const Range owned = layout_.experts_of(p, experts_);
    mpi_counts_[0][p] = static_cast<int>(my_pieces * owned.size());
    mpi_offsets_[0][p] = static_cast<int>(my_pieces * owned.first);
    mpi_counts_[1][p] = static_cast<int>((first_piece_[p + 1] - first_piece_[p]) * mine_.size());
    mpi_offsets_[1][p] = static_cast<int>(first_piece_[p] * mine_.size());
    if (p != me) bytes_ += mpi_counts_[0][p] * static_cast<std::int64_t>(sizeof(std::int64_t));
  }
  comm::check_mpi(MPI_Alltoallv(counts_out_.data(), mpi_counts_[0].data(), mpi_offsets_[0].data(), MPI_INT64_T,
                                counts_in_.data(), mpi_counts_[1].data(), mpi_offsets_[1].data(), MPI_INT64_T,
                                group.handle()));
}

/// Offsets of the expert rows, and where each of them lies among the received rows, which come by (place, expert,
/// token).
void Plan::order_received() {
  const Index experts = mine_.size(), all = first_piece_.back();
  piece_offsets_.assign(experts * all + 1, 0);
  for (Index e = 0; e < experts; ++e) {
    for (Index g = 0; g < all; ++g)
      piece_offsets_[e * all + g + 1] = piece_offsets_[e * all + g] + counts_in_[g * experts + e];
    expert_offsets_[e + 1] = piece_offsets_[(e + 1) * all];
  }
  received_.reserve(alone_ ? 0 : expert_rows());
  Index received = 0;
  for (int p = 0; p < layout_.expert_parallel; ++p) {
    for (Index e = 0; e < experts; ++e) {
      const Index last = piece_offsets_[e * all + first_piece_[p + 1]];
      for (Index row = piece_offsets_[e * all + first_piece_[p]]; row < last; ++row, ++received)
        if (!alone_) received_.host()[row] = static_cast<std::int32_t>(received);
    }
    to_experts_.receive[p + 1] = received;
  }
  if (!alone_) received_.to_device(received);
}

}  // namespace switchyard::moe
