#include "moe/crossing.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/check.hpp"
#include "comm/collectives.hpp"
#include "comm/mpi_count.hpp"

namespace switchyard::moe {
namespace {

/// Lengths of what is sent to, or comes from, each rank, and where it begins.
int lay_out(const std::vector<int>& sizes, std::vector<int>& offsets) {
  std::int64_t all = 0;
  for (std::size_t r = 0; r < sizes.size(); ++r) {
    offsets[r] = comm::mpi_count(all, "numbers of choices for all nodes");
    all += sizes[r];
  }
  return comm::mpi_count(all, "numbers of choices for all nodes");
}

}  // namespace

CrossingWork::CrossingWork(Arena& arena, const Config& config, const Layout& layout) {
  const HandedOn here = most_handed_on(config, layout);
  const auto table = [&](const char* label, Index n) {
    return Staged<std::int32_t>(arena, label, Account::exchange, n);
  };
  sent = table("moe::crossing::sent", 3 * most_choices(config, layout));  // as if every choice had a row
  received = table("moe::crossing::received", here.tokens + 2 * here.choices);
  row_of = table("moe::crossing::row_of", lane_tokens(config, layout) * layout.group_nodes());
  for (auto* side : {sizes, offsets})
    for (int i = 0; i < 2; ++i) side[i].assign(layout.group_nodes(), 0);
}

void CrossingWork::read(const Queue& queue, const Choice& choice) {
  first.ask(queue, choice.first), expert.ask(queue, choice.expert);
  weight.ask(queue, choice.weight), kept.ask(queue, choice.kept);
  queue.fence("switchyard::moe::crossing::choices");
}

Crossing::Crossing(Arena& arena, const Config& config, const Layout& layout, int block)
    : layout_(layout),
      experts_(config.block_experts(block)),
      nodes_(layout.group_nodes()),
      groups_(config.moe.combine_groups) {
  const Index tokens = lane_tokens(config, layout), rows = even_token_rows(config, layout, experts_);
  const HandedOn here = moe::handed_on(config, layout, experts_);
  const auto table = [&](const char* label, Index n) {
    return Staged<std::int32_t>(arena, label, Account::expert_rows, n);
  };
  token_ = table("moe::crossing::token", most_choices(config, layout));  // as if every choice had a row
  node_rows_ = table("moe::crossing::node_rows", tokens + 1 + 2 * rows);
  choice_rows_ = table("moe::crossing::choice_rows", most_choices(config, layout));
  came_ = table("moe::crossing::came", 2 * here.tokens + here.choices);
  weight_ = {arena, "moe::crossing::weight", Account::expert_rows, here.choices};
  kept_ = {arena, "moe::crossing::kept", Account::expert_rows, here.choices};
  if (!arena.places()) return;
  for (int e = 0; e < experts_; ++e) place_of_.push_back(layout_.place_of_expert(block, e, experts_));
  traffic_.assign(layout_.ranks, 0), bytes_.assign(nodes_, 0);
}

void Crossing::build(const Queue& queue, const Choice& choice, Pieces pieces, const Way& rail, CrossingWork& work) {
  work.read(queue, choice);
  home_pieces_ = pieces_of(layout_, layout_.place(), pieces);
  begin(choice, work);
  for (int node = 0; node < nodes_; ++node) list_node(node, work);
  list_rows_of_tokens(work);
  token_.to_device(queue, token_rows());
  node_rows_.to_device(queue, home_tokens_ + 1 + 2 * token_rows());
  choice_rows_.to_device(queue, choice.capacity());
  exchange_counts(rail.group, pieces, work);
  exchange_choices(rail.group, work);
  take_choices(queue, pieces, work);
  tokens_ = rail.exchange.prepare(comm::there_and_back(std::move(tokens_.out)));
  choices_ = rail.exchange.prepare(comm::there_and_back(std::move(choices_.out)));
}

void Crossing::begin(const Choice& choice, CrossingWork& work) {
  choice_ = choice, home_tokens_ = choice.tokens();
  token_.reserve(choice.capacity()), choice_rows_.reserve(choice.capacity());
  work.sent.reserve(3 * choice.capacity()), work.row_of.reserve(home_tokens_ * nodes_);
  work.counts_sent.assign(nodes_ * (home_pieces_ + 1), 0);
  std::fill_n(work.row_of.host(), home_tokens_ * nodes_, -1);
  std::fill_n(choice_rows_.host(), choice.capacity(), -1);
  std::fill(traffic_.begin(), traffic_.end(), 0);
  tokens_.out = choices_.out = {};
}

/// Appends the rows for a node.
void Crossing::list_node(int node, CrossingWork& work) {
  std::int64_t* counts = work.counts_sent.data() + node * (home_pieces_ + 1);
  Index row = token_rows(), choice_row = choice_rows();
  std::int32_t *const begin = work.sent.host() + row + 2 * choice_row, *next = begin;
  for (Index t = 0; t < home_tokens_; ++t) {
    std::int32_t* const length = next;
    for (Index i = work.first(t); i < work.first(t + 1); ++i) {
      const std::int32_t expert = work.expert(i);
      if (!work.kept(i) || layout_.node_of_place(place_of_.at(expert)) != node) continue;
      if (next == length) *next++ = 0;
      ++*length;
      *next++ = expert, *next++ = std::bit_cast<std::int32_t>(work.weight(i));
      choice_rows_.host()[i] = static_cast<std::int32_t>(choice_row++);
      ++traffic_[layout_.group() * layout_.expert_parallel + place_of_[expert]];
    }
    if (next == length) continue;
    token_.host()[row] = static_cast<std::int32_t>(t);
    work.row_of.host()[t * nodes_ + node] = static_cast<std::int32_t>(row++);
    ++counts[1 + t * home_pieces_ / home_tokens_];
  }
  counts[0] = choice_row - choice_rows();
  work.sizes[0][node] = comm::mpi_count(next - begin, "numbers of choices for one node");
  tokens_.out.send.push_back({token_rows(), row}), choices_.out.send.push_back({choice_rows(), choice_row});
}

void Crossing::list_rows_of_tokens(const CrossingWork& work) {
  node_rows_.reserve(home_tokens_ + 1 + 2 * token_rows());
  std::int32_t *first = node_rows_.host(), *row = first + home_tokens_ + 1, *node = row + token_rows(), next = 0;
  const std::int32_t* row_of = work.row_of.host();
  for (Index t = 0; t < home_tokens_; ++t) {
    first[t] = next;
    for (int n = 0; n < nodes_; ++n)
      if (row_of[t * nodes_ + n] >= 0) row[next] = row_of[t * nodes_ + n], node[next++] = n;
  }
  first[home_tokens_] = next;
}

/// Of the rank of this rail on a node.
int Crossing::pieces_from(int node, Pieces pieces) const {
  return pieces_of(layout_, static_cast<int>(node * layout_.node_places + my_near(layout_)), pieces);
}

/// How many rows come of each rank of the rail, and of which of its pieces.
void Crossing::exchange_counts(const comm::Communicator& rail, Pieces pieces, CrossingWork& work) {
  std::vector<int> sizes[2], offsets[2];
  for (auto& side : offsets) side.assign(nodes_, 0);
  for (int n = 0; n < nodes_; ++n) {
    sizes[0].push_back(static_cast<int>(home_pieces_) + 1);
    sizes[1].push_back(pieces_from(n, pieces) + 1);
    bytes_[n] = sizes[0][n] * static_cast<std::int64_t>(sizeof(std::int64_t));
  }
  lay_out(sizes[0], offsets[0]);
  work.counts_received.resize(lay_out(sizes[1], offsets[1]));
  comm::count_sent(rail, sizes[0], sizeof(std::int64_t));
  const activity::Waiting waiting(rail.members());
  comm::check_mpi(MPI_Alltoallv(work.counts_sent.data(), sizes[0].data(), offsets[0].data(), MPI_INT64_T,
                                work.counts_received.data(), sizes[1].data(), offsets[1].data(), MPI_INT64_T,
                                rail.handle()));
  for (int n = 0; n < nodes_; ++n) {
    const auto counts = work.counts_received.begin() + offsets[1][n];
    const std::int64_t rows = std::accumulate(counts + 1, counts + sizes[1][n], std::int64_t{0});
    tokens_.out.receive.push_back({tokens_here(), tokens_here() + rows});
    choices_.out.receive.push_back({choices_here(), choices_here() + *counts});
    work.sizes[1][n] = comm::mpi_count(rows + 2 * *counts, "numbers of choices from one node");
  }
}

void Crossing::exchange_choices(const comm::Communicator& rail, CrossingWork& work) {
  lay_out(work.sizes[0], work.offsets[0]);
  work.received.reserve(lay_out(work.sizes[1], work.offsets[1]));
  for (int n = 0; n < nodes_; ++n) bytes_[n] += work.sizes[0][n] * static_cast<std::int64_t>(sizeof(std::int32_t));
  comm::count_sent(rail, work.sizes[0], sizeof(std::int32_t));
  const activity::Waiting waiting(rail.members());
  comm::check_mpi(MPI_Alltoallv(work.sent.host(), work.sizes[0].data(), work.offsets[0].data(), MPI_INT32_T,
                                work.received.host(), work.sizes[1].data(), work.offsets[1].data(), MPI_INT32_T,
                                rail.handle()));
}

/// First token of each piece of all ranks of the rail.
void Crossing::take_pieces(Pieces pieces, const CrossingWork& work, std::int32_t* begins) {
  pieces_ = 0, largest_piece_ = 0;
  begins[0] = 0;
  auto counts = work.counts_received.begin();
  for (int n = 0; n < nodes_; ++n) {
    ++counts;  // choice rows
    for (int left = pieces_from(n, pieces); left > 0; --left, ++pieces_) {
      begins[pieces_ + 1] = static_cast<std::int32_t>(begins[pieces_] + *counts);
      largest_piece_ = std::max<Index>(largest_piece_, *counts++);
    }
  }
}

/// What came, as choices of tokens that are cut into these pieces.
void Crossing::take_choices(const Queue& queue, Pieces pieces, const CrossingWork& work) {
  const Index tokens = tokens_here(), choices = choices_here();
  const Index all_pieces = static_cast<Index>(work.counts_received.size()) - nodes_;
  const Index experts = tokens + 1 + all_pieces + 1, all = experts + choices;
  came_.reserve(all), weight_.reserve(choices), kept_.reserve(choices);
  std::int32_t *first = came_.host(), *expert = first + experts;
  take_pieces(pieces, work, first + tokens + 1);
  Index i = 0;
  const std::int32_t* from = work.received.host();
  for (Index t = 0; t < tokens; ++t) {
    first[t] = static_cast<std::int32_t>(i);
    for (std::int32_t left = *from++; left > 0; --left, ++i) {
      expert[i] = *from++;
      weight_.host()[i] = std::bit_cast<float>(*from++);
      kept_.host()[i] = 1;
    }
  }
  first[tokens] = static_cast<std::int32_t>(i);
  came_.to_device(queue, all), weight_.to_device(queue, choices), kept_.to_device(queue, choices);
  handed_on_ = {Vector<std::int32_t>(came_.device(), tokens + 1),
                Vector<std::int32_t>(came_.device() + experts, choices), Vector<float>(weight_.device(), choices),
                Vector<std::uint8_t>(kept_.device(), choices)};
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
