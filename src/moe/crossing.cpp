#include "moe/crossing.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/check.hpp"

namespace switchyard::moe {
CrossingWork::CrossingWork(Arena& arena, const Config& config, const Layout& layout, int leg) {
  const HandedOn before = most_at_stop(leg, config, layout), here = most_at_stop(leg + 1, config, layout);
  const auto table = [&](const char* label, Index n) {
    return Staged<std::int32_t>(arena, label, Account::exchange, n);
  };
  sent = table("moe::crossing::sent", 3 * before.choices);  // as if every choice had a row
  received = table("moe::crossing::received", here.tokens + 2 * here.choices);
  row_of = table("moe::crossing::row_of", before.tokens * layout.legs().at(leg).parts.size());
}

void CrossingWork::read(const Queue& queue, const Choice& choice) {
  first.ask(queue, choice.first), expert.ask(queue, choice.expert);
  weight.ask(queue, choice.weight), kept.ask(queue, choice.kept);
  queue.fence("switchyard::moe::crossing::choices");
}

Crossing::Crossing(Arena& arena, const Config& config, const Layout& layout, int leg, int block)
    : layout_(layout),
      stop_(leg),
      leg_(layout.legs().at(leg)),
      parts_(static_cast<int>(leg_.parts.size())),
      me_(static_cast<int>(layout.place() / leg_.width - leg_.parts.first)),
      experts_(config.block_experts(block)),
      groups_(config.moe.combine_groups),
      block_(block) {
  const HandedOn before = at_stop(leg, config, layout, experts_), here = at_stop(leg + 1, config, layout, experts_);
  const Index rows = even_token_rows(leg, config, layout, experts_);
  const auto table = [&](const char* label, Index n) {
    return Staged<std::int32_t>(arena, label, Account::expert_rows, n);
  };
  token_ = table("moe::crossing::token", before.choices);  // as if every choice had a row
  part_rows_ = table("moe::crossing::part_rows", before.tokens + 1 + 2 * rows);
  choice_rows_ = table("moe::crossing::choice_rows", before.choices);
  came_ = table("moe::crossing::came", 2 * here.tokens + here.choices);
  weight_ = {arena, "moe::crossing::weight", Account::expert_rows, here.choices};
  kept_ = {arena, "moe::crossing::kept", Account::expert_rows, here.choices};
  if (!arena.places()) return;
  for (int e = 0; e < experts_; ++e) place_of_.push_back(layout_.place_of_expert(block, e, experts_));
  traffic_.assign(layout_.ranks, 0);
}

TokensHere Crossing::own_tokens(const Choice& choice, Pieces pieces) const {
  const Index count = pieces_of(layout_, layout_.place(), pieces);
  TokensHere tokens{choice, {}, pieces};
  for (Index g = 1; g <= count; ++g) tokens.piece_ends.push_back(choice.tokens() * g / count);
  return tokens;
}

void Crossing::begin(const Queue& queue, TokensHere tokens, const Way& way, CrossingWork& work, std::int64_t step) {
  expect(work.counts.poll() && work.choices.poll(), "one crossing of a lane at a time");
  work_ = &work, exchange_ = &way.exchange, cut_into_ = tokens.pieces;
  work.read(queue, tokens.choice);
  piece_ends_ = std::move(tokens.piece_ends);
  clear(tokens.choice);
  comm::RowRanges numbers;
  for (std::int64_t first = 0, part = 0; part < parts_; ++part) {
    const std::int64_t last = first + list_part(static_cast<int>(part));
    numbers.push_back({first, last}), first = last;
  }
  list_rows_of_tokens();
  token_.to_device(queue, token_rows());
  part_rows_.to_device(queue, home_tokens_ + 1 + 2 * token_rows());
  choice_rows_.to_device(queue, tokens.choice.capacity());
  send(std::move(numbers), step);
}

bool Crossing::poll(bool may_grow) {
  if (!counts_known_ && work_->counts.poll()) take_counts();
  if (counts_known_ && !choices_expected_ && (may_grow || work_->received.capacity() >= numbers_.back().last))
    expect_choices();
  return counts_known_;
}

void Crossing::finish(const Queue& queue) {
  if (whole_) return;
  wait_for(work_->counts);
  poll(true);
  wait_for(work_->choices);
  take_choices(queue);
  whole_ = true;
}

void Crossing::clear(const Choice& choice) {
  choice_ = choice, home_tokens_ = choice.tokens();
  counts_known_ = choices_expected_ = whole_ = false;
  token_.reserve(choice.capacity()), choice_rows_.reserve(choice.capacity());
  work_->sent.reserve(3 * choice.capacity()), work_->row_of.reserve(home_tokens_ * parts_);
  work_->counts_sent.assign(parts_ * (home_pieces() + 1), 0);
  std::fill_n(work_->row_of.host(), home_tokens_ * parts_, -1);
  std::fill_n(choice_rows_.host(), choice.capacity(), -1);
  std::fill(traffic_.begin(), traffic_.end(), 0);
  tokens_.out = choices_.out = {};
}

/// Appends the rows for a part, and what it is told of them: so many numbers.
std::int64_t Crossing::list_part(int part) {
  CrossingWork& work = *work_;
  std::int64_t* counts = work.counts_sent.data() + part * (home_pieces() + 1);
  Index row = token_rows(), choice_row = choice_rows(), piece = 0;
  std::int32_t *const begin = work.sent.host() + row + 2 * choice_row, *next = begin;
  for (Index t = 0; t < home_tokens_; ++t) {
    while (t >= piece_ends_[piece]) ++piece;
    std::int32_t* const length = next;
    for (Index i = work.first(t); i < work.first(t + 1); ++i) {
      const std::int32_t expert = work.expert(i);
      if (!work.kept(i) || place_of_.at(expert) / leg_.width != leg_.parts.first + part) continue;
      if (next == length) *next++ = 0;
      ++*length;
      *next++ = expert, *next++ = std::bit_cast<std::int32_t>(work.weight(i));
      choice_rows_.host()[i] = static_cast<std::int32_t>(choice_row++);
      ++traffic_[layout_.group() * layout_.expert_parallel + place_of_[expert]];
    }
    if (next == length) continue;
    token_.host()[row] = static_cast<std::int32_t>(t);
    work.row_of.host()[t * parts_ + part] = static_cast<std::int32_t>(row++);
    ++counts[1 + piece];
  }
  counts[0] = choice_row - choice_rows();
  tokens_.out.send.push_back({token_rows(), row}), choices_.out.send.push_back({choice_rows(), choice_row});
  return next - begin;
}

void Crossing::list_rows_of_tokens() {
  part_rows_.reserve(home_tokens_ + 1 + 2 * token_rows());
  std::int32_t *first = part_rows_.host(), *row = first + home_tokens_ + 1, *part = row + token_rows(), next = 0;
  const std::int32_t* row_of = work_->row_of.host();
  for (Index t = 0; t < home_tokens_; ++t) {
    first[t] = next;
    for (int n = 0; n < parts_; ++n)
      if (row_of[t * parts_ + n] >= 0) row[next] = row_of[t * parts_ + n], part[next++] = n;
  }
  first[home_tokens_] = next;
}

/// Of what the rank of a part brings that shares the leg.
int Crossing::pieces_from(int part) const {
  int pieces = 0;
  layout_.for_sources(stop_, leg_.place_in(leg_.parts.first + part, layout_.place()),
                      [&](int p) { pieces += pieces_of(layout_, p, cut_into_); });
  return pieces;
}

/// How many rows go to each rank that shares the leg, and of which pieces, and the choices of their tokens.
void Crossing::send(comm::RowRanges numbers, std::int64_t step) {
  comm::RowRanges out, in;
  for (std::int64_t sent = 0, come = 0, part = 0; part < parts_; ++part) {
    const std::int64_t pieces = pieces_from(static_cast<int>(part));
    out.push_back({sent, sent + home_pieces() + 1}), sent += home_pieces() + 1;
    in.push_back({come, come + pieces + 1}), come += pieces + 1;
  }
  const auto tag = [&](Told what) { return comm::ExchangeTag{step, block_, static_cast<int>(what), layout_.lane}; };
  work_->counts_received.resize(in.back().last);
  work_->counts.send(*exchange_, out, sizeof(std::int64_t), work_->counts_sent.data(), tag(Told::counts));
  receive(work_->counts, in, work_->counts_received.data());
  work_->choices.send(*exchange_, numbers, sizeof(std::int32_t), work_->sent.host(), tag(Told::choices));
}

/// How many rows come of each rank that shares the leg, and how many numbers of their choices.
void Crossing::take_counts() {
  numbers_.clear();
  const std::int64_t* counts = work_->counts_received.data();
  for (std::int64_t first = 0, n = 0; n < parts_; ++n) {
    const std::int64_t choices = *counts++, pieces = pieces_from(static_cast<int>(n));
    const std::int64_t rows = std::accumulate(counts, counts + pieces, std::int64_t{0}),
                       last = first + rows + 2 * choices;
    counts += pieces;
    tokens_.out.receive.push_back({tokens_here(), tokens_here() + rows});
    choices_.out.receive.push_back({choices_here(), choices_here() + choices});
    numbers_.push_back({first, last}), first = last;
  }
  tokens_ = exchange_->prepare(comm::there_and_back(tokens_.out));
  choices_ = exchange_->prepare(comm::there_and_back(choices_.out));
  counts_known_ = true;
}

void Crossing::expect_choices() {
  work_->received.reserve(numbers_.back().last);
  receive(work_->choices, numbers_, work_->received.host());
  choices_expected_ = true;
}

/// First token of each piece of all ranks that share the leg.
void Crossing::take_pieces(std::int32_t* begins) {
  pieces_ = 0, largest_piece_ = 0;
  begins[0] = 0;
  auto counts = work_->counts_received.begin();
  for (int n = 0; n < parts_; ++n) {
    ++counts;  // choice rows
    for (int left = pieces_from(n); left > 0; --left, ++pieces_) {
      begins[pieces_ + 1] = static_cast<std::int32_t>(begins[pieces_] + *counts);
      largest_piece_ = std::max<Index>(largest_piece_, *counts++);
    }
  }
}

/// What came, as choices of tokens that are cut into these pieces.
void Crossing::take_choices(const Queue& queue) {
  const Index tokens = tokens_here(), choices = choices_here();
  const Index all_pieces = static_cast<Index>(work_->counts_received.size()) - parts_;
  const Index experts = tokens + 1 + all_pieces + 1, all = experts + choices;
  came_.reserve(all), weight_.reserve(choices), kept_.reserve(choices);
  std::int32_t *first = came_.host(), *expert = first + experts;
  take_pieces(first + tokens + 1);
  Index i = 0;
  const std::int32_t* from = work_->received.host();
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

TokensHere Crossing::tokens_handed_on() const {
  const std::int32_t* begins = came_.host() + tokens_here() + 1;
  return {handed_on_, {begins + 1, begins + 1 + pieces_}, cut_into_};
}

Range Crossing::own_token_rows_of(const Range& tokens) const {
  const Range own = own_token_rows();
  const std::int32_t *first = token_.host() + own.first, *last = token_.host() + own.last;
  return {std::lower_bound(first, last, tokens.first) - token_.host(),
          std::lower_bound(first, last, tokens.last) - token_.host()};
}

rows::Choices Crossing::rows_of_parts() const {
  const std::int32_t *first = part_rows_.device(), *row = first + home_tokens_ + 1;
  return {home_tokens_, token_rows(), first, row, {parts_, parts_, row + token_rows(), false}};
}

rows::Choices Crossing::rows_of_choices() const {
  return {home_tokens_,
          choice_.capacity(),
          choice_.first.data(),
          choice_rows_.device(),
          {groups_, experts_, choice_.expert.data(), true}};
}

}  // namespace switchyard::moe
