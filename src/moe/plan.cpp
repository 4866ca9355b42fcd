#include "moe/plan.hpp"

#include <algorithm>
#include <numeric>

#include "base/check.hpp"
#include "comm/collectives.hpp"
#include "config/moe_layers.hpp"
#include "moe/resident_plan.hpp"
#include "moe/send_rows.hpp"

namespace switchyard::moe {

namespace {

/// Of what this rank hands on. A lane without grains is one piece in evaluation.
Index most_pieces(const Layout& layout) {
  Index pieces = 0;
  for_sources(layout, my_near(layout),
              [&](int p) { pieces += std::max<Index>(1, lane_grains_from(layout, p).size()); });
  return pieces;
}

/// With as many pieces and units as there are at most, whether pieces are grains or all that a rank has of the lane.
Cut largest_cut(const Config& config, const Layout& layout) {
  if (!layout.by_nodes()) return cut_of(lane_tokens(config, layout), most_pieces(layout), 1);
  const Index grain = Index{config.grain_sequences()} * config.model.context, pieces = most_pieces(layout);
  Index ranks = 0, most_grains = 0;
  for_sources(layout, my_near(layout),
              [&](int p) { ++ranks, most_grains = std::max<Index>(most_grains, lane_grains_from(layout, p).size()); });
  const Cut of_ranks = cut_at(nullptr, ranks * most_grains * grain, ranks, most_grains * grain);
  Cut cut = cut_at(nullptr, pieces * grain, pieces, grain);
  while (cut.units() < of_ranks.units()) cut.piece_tokens += cut.unit_tokens;
  return cut;
}

/// received(row) of the expert rows, by runs that lie together on both sides: run r is the expert rows
/// [first(r), first(r + 1)).
void place_received(const Queue& queue, Index runs, const std::int32_t* first, std::int32_t* received) {
  const Index strands = on_host ? 1 : 32;  // threads that share a run
  const std::int32_t* from = first + runs + 1;
  Kokkos::parallel_for(
      "switchyard::moe::plan::place_received", queue.range(runs * strands), KOKKOS_LAMBDA(Index it) {
        const Index run = it / strands;
        for (Index row = first[run] + it % strands; row < first[run + 1]; row += strands)
          received[row] = static_cast<std::int32_t>(from[run] + row - first[run]);
      });
}

}  // namespace

int pieces_of(const Layout& layout, int place, Pieces pieces) {
  return pieces == Pieces::ranks ? 1 : static_cast<int>(lane_grains_from(layout, place).size());
}

Plan::Plan(Arena& arena, const Config& config, const Layout& layout, int block)
    : layout_(layout),
      block_(block),
      experts_(config.block_experts(block)),
      near_(layout_.near_places()),
      mine_(layout_.my_experts(experts_)),
      local_first_(config.layout.local_first && layout.expert_parallel > 1),
      alone_(near_.size() == 1),
      resident_(layout_.expert_parallel == 1),
      counted_(arena, largest_cut(config, layout), experts_),
      totals_(arena, counted_.total) {
  const Index choices = handed_on(config, layout, experts_).choices;
  const auto table = [&](const char* label, Index n) {
    return Staged<std::int32_t>(arena, label, Account::activations, n);
  };
  const auto room = [&](const char* label) {
    return Room<std::int32_t>(arena, label, layout.by_nodes() ? Account::expert_rows : Account::activations, choices);
  };
  order_ = {config.moe.combine_groups, experts_, nullptr, true};
  begins_ = table("moe::plan::begins", most_pieces(layout) * experts_);
  runs_ = table("moe::plan::runs", alone_ ? 0 : 2 * most_runs(mine_.size(), near_.size()) + 1);
  offsets_ = {arena, "moe::plan::offsets", Account::activations, 2 * (mine_.size() + 1)};
  token_ = room("moe::plan::token");
  row_ = room("moe::plan::row");
  received_ = {arena, "moe::plan::received", Account::expert_rows,
               alone_ ? 0 : even_expert_rows(config, layout, experts_)};
  if (arena.places()) make_tables();
}

/// What does not depend on the choices.
void Plan::make_tables() {
  const auto places = static_cast<std::size_t>(near_.size());
  first_piece_.assign(places + 1, 0);
  to_experts_.send.assign(places, {}), to_experts_.receive.assign(places, {});
  first_here_.assign(places, {});
  ordered_.here.assign(mine_.size() + 1, 0), ordered_.others.assign(mine_.size() + 1, 0);
  traffic_.assign(layout_.ranks, 0);
}

/// Those of the near places, one place after another, and which of each come first: of a place that shares the experts
/// of this one, or is this one, those of its own tokens.
void Plan::number_pieces() {
  const int me = static_cast<int>(my_near(layout_));
  for (int near = 0; near < near_.size(); ++near) {
    std::int64_t next = first_piece_[near];
    first_here_[near] = {next, next};
    for_sources(layout_, near, [&](int p) {
      const std::int64_t begin = next;
      next += pieces_of(layout_, p, by_grains_ ? Pieces::grains : Pieces::ranks);
      if (local_first_ && near / copies() == me / copies() && p == near_.first + near)
        first_here_[near] = {begin, next};
    });
    first_piece_[near + 1] = next;
  }
}

void Plan::begin(const Queue& queue, const Cut& cut, const Choice& choice, Pieces pieces, const Way& way,
                 std::int64_t step) {
  expect(counts_.poll(), "one plan at a time");
  counts_known_ = whole_ = settled_ = false, exchange_ = &way.exchange;
  tokens_ = choice.tokens(), capacity_ = choice.capacity();
  first_ = choice.first;
  order_.expert = choice.expert.data();
  by_grains_ = pieces == Pieces::grains;
  number_pieces();
  row_.reserve(capacity_), token_.reserve(capacity_);
  const Matrix<std::int32_t> begins(begins_.device(), cut.pieces, experts_);
  const ResidentRows ordered{counted_.total, begins, offsets_.device() + experts_ + 1, token_.data(), capacity_};
  if constexpr (!on_host)
    if (resident_ && plans_at_once(cut, choice, experts_)) {
      plan_resident(queue, cut, choice, ordered, row_.data());
      return void(totals_.ask(queue));
    }
  count(queue, cut, choice, Which::kept, counted_);
  totals_.ask(queue);
  if (resident_) {
    order_resident(queue, ordered);
  } else {
    queue.fence("switchyard::moe::plan::counts");  // what is sent and received is sized by them
    take_totals(cut.pieces);
    begins_.to_device(queue, cut.pieces * experts_);
  }
  place(queue, {cut, choice, Which::kept, counted_.before}, {begins, row_.data(), token_.data()});
  if (!resident_) send_counts(step);
}

void Plan::settle() {
  if (!resident_ || settled_) return;
  take_totals(first_piece_.back());
  counts_in_ = counts_out_;
  take_counts();
  settled_ = true;
}

bool Plan::poll(bool /*may_grow*/) {
  if (resident_) return true;
  if (!counts_known_ && counts_.poll()) take_counts();
  return counts_known_;
}

void Plan::finish(const Queue& queue) {
  if (whole_ || resident_) return;
  wait_for(counts_);
  poll(true);
  order_received(queue);
  put_offsets(queue);
  whole_ = true;
}

/// What an expert that there is not would have been given.
void Plan::expect_whole(Index pieces) const {
  for (Index g = 0; g < pieces; ++g)
    expect(totals_.host()(g, experts_) == 0, "choices among the experts and in the memory of their pass");
}

void Plan::count_traffic() {
  if (!resident_ || settled_) return;
  const Index pieces = first_piece_.back();
  expect_whole(pieces);
  std::int64_t& rows = traffic_[layout_.group()] = 0;
  for (Index g = 0; g < pieces; ++g) {
    const std::int32_t* of_piece = &totals_.host()(g, 0);
    rows = std::accumulate(of_piece, of_piece + experts_, rows);
  }
}

/// The kept choices of each piece and expert, on the host.
void Plan::take_totals(Index pieces) {
  expect_whole(pieces);
  counts_out_.resize(pieces * experts_);
  for (Index g = 0; g < pieces; ++g) {
    const auto of_piece = [&](Index e) { return totals_.host()(g, e); };
    for (int p = 0; p < near_.size(); p += copies()) {
      const Range owned = seats_near(p);
      for (std::int64_t s = owned.first; s < owned.last; ++s)
        counts_out_[pieces * (owned.first - seats_near(0).first) + g * owned.size() + s - owned.first] =
            of_piece(layout_.expert_at(block_, s));
    }
  }
  begin_rows(pieces);
}

/// Where the send rows of each expert and piece begin: by seat, then piece, those that come first before the others.
void Plan::begin_rows(Index pieces) {
  const std::int64_t me = my_near(layout_), first_piece = first_piece_[me];
  std::int32_t next = 0;
  const std::int64_t first_rank = layout_.group() * layout_.expert_parallel + near_.first;
  for (int p = 0; p < near_.size(); p += copies()) {
    const Range owned = seats_near(p);
    const std::int32_t first = next;
    const Range come_first = p / copies() == me / copies() ? first_here_[me] : Range{};
    for (const bool before : {true, false})
      for (std::int64_t s = owned.first; s < owned.last; ++s)
        for (Index e = layout_.expert_at(block_, s), g = 0; g < pieces; ++g) {
          if (holds(come_first, first_piece + g) != before) continue;
          if (!resident_) begins_.host()[g * experts_ + e] = next;
          next += totals_.host()(g, e);
        }
    std::fill_n(to_experts_.send.begin() + p, copies(), Range{first, next});
    traffic_[first_rank + p] = next - first;
  }
  itinerary_.out.send = to_experts_.send;
}

/// The copies of the send rows come one after another.
comm::RowPlan Plan::way_home() const {
  comm::RowPlan home{to_experts_.receive, to_experts_.send};
  const Index rows = send_rows();
  for (int p = 0; p < near_.size(); ++p) {
    Range& range = home.receive[p];
    range = {range.first + p % copies() * rows, range.last + p % copies() * rows};
  }
  return home;
}

/// Tells every near place how many rows of each of my pieces its experts get.
void Plan::send_counts(std::int64_t step) {
  counts_in_.resize(first_piece_.back() * mine_.size());
  if (alone_) {
    counts_in_ = counts_out_;
    return;
  }
  const std::int64_t me = my_near(layout_), my_pieces = first_piece_[me + 1] - first_piece_[me];
  comm::RowRanges out, in;
  for (int p = 0; p < near_.size(); ++p) {
    const Range owned = seats_near(p);
    const std::int64_t first = my_pieces * (owned.first - seats_near(0).first);
    out.push_back({first, first + my_pieces * owned.size()});
    in.push_back({first_piece_[p] * mine_.size(), first_piece_[p + 1] * mine_.size()});
  }
  counts_.send(*exchange_, out, sizeof(std::int64_t), counts_out_.data(),
               {step, block_, static_cast<int>(Told::counts), layout_.lane});
  receive(counts_, in, counts_in_.data());
}

/// Which rows come, and how they lie at their experts.
void Plan::take_counts() {
  order_rows({static_cast<int>(mine_.size()), counts_in_, first_piece_, first_here_, static_cast<int>(my_near(layout_)),
              local_first_},
             ordered_);
  to_experts_.receive = ordered_.received;
  if (!alone_) itinerary_ = exchange_->prepare({to_experts_, way_home()});
  counts_known_ = true;
}

/// Where the rows of each expert begin, for products.
void Plan::put_offsets(const Queue& queue) {
  std::copy(ordered_.others.begin(), ordered_.others.end(),
            std::copy(ordered_.here.begin(), ordered_.here.end(), offsets_.host()));
  offsets_.to_device(queue, std::ssize(ordered_.here) + std::ssize(ordered_.others));
}

/// Where each expert row lies among the received rows.
void Plan::order_received(const Queue& queue) {
  if (alone_) return;
  const Index runs = std::ssize(ordered_.runs);
  std::int32_t *first = runs_.host(), *from = first + runs + 1;
  for (Index r = 0; r < runs; ++r) {
    first[r] = static_cast<std::int32_t>(ordered_.runs[r].row);
    from[r] = static_cast<std::int32_t>(ordered_.runs[r].received);
  }
  first[runs] = static_cast<std::int32_t>(expert_rows());
  runs_.to_device(queue, 2 * runs + 1);
  received_.reserve(expert_rows());
  place_received(queue, runs, runs_.device(), received_.data());
}

}  // namespace switchyard::moe
