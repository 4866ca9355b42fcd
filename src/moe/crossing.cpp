#include "moe/crossing.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/check.hpp"

namespace switchyard::moe {
namespace {

/// Lengths of what is sent to, or comes from, each rank, and where it begins.
int lay_out(const std::vector<int>& sizes, std::vector<int>& offsets) {
  int all = 0;
  for (std::size_t r = 0; r < sizes.size(); ++r) offsets[r] = all, all += sizes[r];
  return all;
}

}  // namespace

bool sums_by_node(const Config& config, const Layout& layout) {
  const unsigned nodes = static_cast<unsigned>(layout.group_nodes());
  return layout.by_nodes() && std::has_single_bit(nodes) && config.moe.combine_groups % static_cast<int>(nodes) == 0;
}

/// What routing chose, where the host reads it.
struct Crossing::Chosen {
  template <class T>
  using View = typename Vector<T>::HostMirror;
  explicit Chosen(const Choice& choice)
      : first(host(choice.first)), expert(host(choice.expert)), weight(host(choice.weight)), kept(host(choice.kept)) {}
  template <class V>
  static typename V::HostMirror host(const V& v) {
    return Kokkos::create_mirror_view_and_copy(typename V::HostMirror::memory_space{}, v);
  }
  Index tokens() const { return static_cast<Index>(first.extent(0)) - 1; }
  View<std::int32_t> first, expert;
  View<float> weight;
  View<std::uint8_t> kept;
};

Crossing::Crossing(Arena& arena, const Config& config, const Layout& layout, int experts)
    : layout_(layout), experts_(experts), nodes_(layout.group_nodes()), groups_(config.moe.combine_groups) {
  const Index tokens = lane_tokens(config, layout), rows = even_token_rows(config, layout, experts);
  const HandedOn here = moe::handed_on(config, layout, experts);
  const auto table = [&](const char* label, Index n) {
    return Staged<std::int32_t>(arena, label, Account::expert_rows, n);
  };
  token_ = table("moe::crossing::token", rows);
  node_rows_ = table("moe::crossing::node_rows", tokens + 1 + 2 * rows);
  choice_rows_ = table("moe::crossing::choice_rows", most_choices(config, layout));
  came_ = table("moe::crossing::came", 2 * here.tokens + here.choices);
  weight_ = {arena, "moe::crossing::weight", Account::expert_rows, here.choices};
  kept_ = {arena, "moe::crossing::kept", Account::expert_rows, here.choices};
  if (!arena.places()) return;
  for (int e = 0; e < experts; ++e) place_of_.push_back(layout_.place_of_expert(e, experts));
  for (auto* side : {sizes_, offsets_})
    for (int i = 0; i < 2; ++i) side[i].assign(nodes_, 0);
  traffic_.assign(layout_.ranks, 0);
}

void Crossing::build(const Queue& queue, const Choice& choice, Pieces pieces, const Way& rail) {
  const Chosen chosen(choice);
  choice_ = choice;
  home_tokens_ = chosen.tokens();
  pieces_ = pieces_of(layout_, layout_.place(), pieces);
  bytes_ = 0;
  token_.reserve(home_tokens_ * nodes_), choice_rows_.reserve(choice.capacity());
  row_of_.assign(home_tokens_ * nodes_, -1);
  sent_.clear();
  counts_sent_.assign(nodes_ * (pieces_ + 1), 0);
  std::fill(traffic_.begin(), traffic_.end(), 0);
  std::fill_n(choice_rows_.host(), choice.capacity(), -1);
  tokens_.out = choices_.out = {{0}, {0}};
  for (int node = 0; node < nodes_; ++node) list_node(chosen, node);
  list_rows_of_tokens();
  token_.to_device(queue, token_rows());
  node_rows_.to_device(queue, home_tokens_ + 1 + 2 * token_rows());
  choice_rows_.to_device(queue, choice.capacity());
  exchange_counts(rail, pieces);
  exchange_choices(rail.group);
  take_choices(queue, pieces);
  tokens_ = rail.exchange.prepare(tokens_.out);
  choices_ = rail.exchange.prepare(choices_.out);
}

/// Appends the rows for a node.
void Crossing::list_node(const Chosen& chosen, int node) {
  std::int64_t* counts = counts_sent_.data() + node * (pieces_ + 1);
  Index row = token_rows(), choice_row = choice_rows();
  const std::size_t sent = sent_.size();
  for (Index t = 0; t < home_tokens_; ++t) {
    const std::size_t length = sent_.size();
    for (Index i = chosen.first(t); i < chosen.first(t + 1); ++i) {
      const std::int32_t expert = chosen.expert(i);
      if (!chosen.kept(i) || layout_.node_of_place(place_of_.at(expert)) != node) continue;
      if (sent_.size() == length) sent_.push_back(0);
      ++sent_[length];
      sent_.insert(sent_.end(), {expert, std::bit_cast<std::int32_t>(chosen.weight(i))});
      choice_rows_.host()[i] = static_cast<std::int32_t>(choice_row++);
      ++traffic_[layout_.group() * layout_.expert_parallel + place_of_[expert]];
    }
    if (sent_.size() == length) continue;
    token_.host()[row] = static_cast<std::int32_t>(t);
    row_of_[t * nodes_ + node] = static_cast<std::int32_t>(row++);
    ++counts[1 + t * pieces_ / home_tokens_];
  }
  counts[0] = choice_row - choice_rows();
  sizes_[0][node] = static_cast<int>(sent_.size() - sent);
  tokens_.out.send.push_back(row), choices_.out.send.push_back(choice_row);
}

void Crossing::list_rows_of_tokens() {
  node_rows_.reserve(home_tokens_ + 1 + 2 * token_rows());
  std::int32_t *first = node_rows_.host(), *row = first + home_tokens_ + 1, *node = row + token_rows(), next = 0;
  for (Index t = 0; t < home_tokens_; ++t) {
    first[t] = next;
    for (int n = 0; n < nodes_; ++n)
      if (row_of_[t * nodes_ + n] >= 0) row[next] = row_of_[t * nodes_ + n], node[next++] = n;
  }
  first[home_tokens_] = next;
}

/// How many rows come of each rank of the rail, and of which of its pieces.
void Crossing::exchange_counts(const Way& rail, Pieces pieces) {
  std::vector<int> sizes[2], offsets[2];
  for (auto& side : offsets) side.assign(nodes_, 0);
  for (int n = 0; n < nodes_; ++n) {
    const int place = static_cast<int>(n * layout_.node_places + my_near(layout_));
    sizes[0].push_back(static_cast<int>(pieces_) + 1);
    sizes[1].push_back(pieces_of(layout_, place, pieces) + 1);
    if (n != rail.group.rank()) bytes_ += sizes[0][n] * static_cast<std::int64_t>(sizeof(std::int64_t));
  }
  lay_out(sizes[0], offsets[0]);
  counts_received_.resize(lay_out(sizes[1], offsets[1]));
  const activity::Waiting waiting(rail.group.members());
  comm::check_mpi(MPI_Alltoallv(counts_sent_.data(), sizes[0].data(), offsets[0].data(), MPI_INT64_T,
                                counts_received_.data(), sizes[1].data(), offsets[1].data(), MPI_INT64_T,
                                rail.group.handle()));
  for (int n = 0; n < nodes_; ++n) {
    const auto counts = counts_received_.begin() + offsets[1][n];
    const std::int64_t rows = std::accumulate(counts + 1, counts + sizes[1][n], std::int64_t{0});
    tokens_.out.receive.push_back(tokens_here() + rows);
    choices_.out.receive.push_back(choices_here() + *counts);
    sizes_[1][n] = static_cast<int>(rows + 2 * *counts);
  }
}

void Crossing::exchange_choices(const comm::Communicator& rail) {
  lay_out(sizes_[0], offsets_[0]);
  received_.resize(lay_out(sizes_[1], offsets_[1]));
  for (int n = 0; n < nodes_; ++n)
    if (n != rail.rank()) bytes_ += sizes_[0][n] * static_cast<std::int64_t>(sizeof(std::int32_t));
  const activity::Waiting waiting(rail.members());
  comm::check_mpi(MPI_Alltoallv(sent_.data(), sizes_[0].data(), offsets_[0].data(), MPI_INT32_T, received_.data(),
                                sizes_[1].data(), offsets_[1].data(), MPI_INT32_T, rail.handle()));
}

/// What came, as choices of tokens that are cut into the pieces of all ranks of the rail.
void Crossing::take_choices(const Queue& queue, Pieces pieces) {
  const Index tokens = tokens_here(), choices = choices_here(), first_piece = tokens + 1;
  pieces_ = 0, largest_piece_ = 0;
  const Index all_pieces = static_cast<Index>(counts_received_.size()) - nodes_;
  came_.reserve(tokens + all_pieces + 2 + choices), weight_.reserve(choices), kept_.reserve(choices);
  std::int32_t *first = came_.host(), *begins = first + first_piece, *expert = begins + all_pieces + 1;
  begins[0] = 0;
  auto counts = counts_received_.begin();
  for (int n = 0; n < nodes_; ++n) {
    const int of_rank = pieces_of(layout_, static_cast<int>(n * layout_.node_places + my_near(layout_)), pieces);
    ++counts;  // choice rows
    for (int piece = 0; piece < of_rank; ++piece, ++pieces_) {
      begins[pieces_ + 1] = static_cast<std::int32_t>(begins[pieces_] + *counts);
      largest_piece_ = std::max<Index>(largest_piece_, *counts++);
    }
  }
  Index i = 0;
  const std::int32_t* from = received_.data();
  for (Index t = 0; t < tokens; ++t) {
    first[t] = static_cast<std::int32_t>(i);
    for (std::int32_t left = *from++; left > 0; --left, ++i) {
      expert[i] = *from++;
      weight_.host()[i] = std::bit_cast<float>(*from++);
      kept_.host()[i] = 1;
    }
  }
  first[tokens] = static_cast<std::int32_t>(i);
  came_.to_device(queue, tokens + all_pieces + 2 + choices);
  weight_.to_device(queue, choices), kept_.to_device(queue, choices);
  std::int32_t* device = came_.device();
  handed_on_ = {Vector<std::int32_t>(device, tokens + 1),
                Vector<std::int32_t>(device + first_piece + all_pieces + 1, choices),
                Vector<float>(weight_.device(), choices), Vector<std::uint8_t>(kept_.device(), choices)};
}

Cut Crossing::cut() const { return cut_at(came_.device() + tokens_here() + 1, tokens_here(), pieces_, largest_piece_); }

rows::Choices Crossing::rows_of_nodes() const {
  const std::int32_t *first = node_rows_.device(), *row = first + home_tokens_ + 1;
  return {home_tokens_, token_rows(), first, row, {nodes_, nodes_, row + token_rows(), false}};
}

rows::Choices Crossing::rows_of_choices() const {
  return {home_tokens_,
          choice_.capacity(),
          choice_.first.data(),
          choice_rows_.device(),
          {groups_, experts_, choice_.expert.data(), true}};
}

}  // namespace switchyard::moe
