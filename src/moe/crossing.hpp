// One leg of rows by nodes: a row of a token for each part that holds experts of its choices, a node or a rank of this
// node (Layout::legs), and what this rank hands on for the others that share the leg. Tokens that this rank has itself,
// with choices in its own part, are among these.
#pragma once
#include <cstdint>
#include <vector>

#include "comm/exchange.hpp"
#include "moe/numbers.hpp"
#include "moe/plan.hpp"

namespace switchyard::moe {

/// What the crossings of a lane's layers use one after another, on the host: of each token row the number of its
/// choices and of each of these its expert and the bits of its weight, by part, as they leave and as they came.
struct CrossingWork {
  CrossingWork(Arena& arena, const Config& config, const Layout& layout, int leg);
  void read(const Queue& queue, const Choice& choice);
  HostCopy<std::int32_t> first, expert;  ///< of the choices of the tokens that this rank has
  HostCopy<float> weight;
  HostCopy<std::uint8_t> kept;
  Staged<std::int32_t> sent, received;
  Staged<std::int32_t> row_of;                             ///< (tokens, parts) token row, −1 where there is none
  std::vector<std::int64_t> counts_sent, counts_received;  ///< of each rank: choice rows, then token rows by piece
  NumbersFlight counts, choices;
};

/// Tokens that a rank has before a leg: what was chosen for them, and where their pieces end, all of which are grains
/// or all of which are ranks.
struct TokensHere {
  Choice choice;
  std::vector<Index> piece_ends;
  Pieces pieces;
};

/// Two orders of rows on a leg. *Token rows*: (part, token), one for each token with kept choices there. *Choice rows*:
/// (part, token, choice), one for each kept choice. On the other side both come by (rank that shares the leg, token,
/// choice).
class Crossing : public Numbers {
 public:
  Crossing(Arena& arena, const Config& config, const Layout& layout, int leg, int block);
  /// Of this rank's own tokens, of the lane.
  TokensHere own_tokens(const Choice& choice, Pieces pieces) const;
  /// Of the tokens that this rank has; by the host, for MPI sends what was chosen for them. Then its token rows are
  /// known, and it is on its way to the ranks that share the leg. All of them do it, but meet only where their exchange
  /// blocks.
  void begin(const Queue& queue, TokensHere tokens, const Way& way, CrossingWork& work, std::int64_t step);
  /// Whether it is known how many rows come.
  bool poll(bool may_grow) override;
  /// All is known, once what the other ranks sent has come.
  void finish(const Queue& queue);

  // At home.
  Index token_rows() const { return comm::count_rows(tokens_.out.send); }
  Index choice_rows() const { return comm::count_rows(choices_.out.send); }
  const std::int32_t* token_of_row() const { return token_.device(); }
  /// The token rows of each token, which are sums of groups of experts: the parts.
  rows::Choices rows_of_parts() const;
  /// The choice rows of each token; as long as the choice lives that the crossing was built of.
  rows::Choices rows_of_choices() const;

  // Handed on: the tokens that came, with their choices here, all kept.
  const Choice& handed_on() const { return handed_on_; }
  Cut cut() const;
  TokensHere tokens_handed_on() const;
  /// Those of them that this rank has sent itself, and the same as token rows.
  Range own_tokens_here() const { return tokens_.out.receive[me_]; }
  Range own_token_rows() const { return tokens_.out.send[me_]; }
  /// Of the latter those of tokens [first, last) that it had.
  Range own_token_rows_of(const Range& tokens) const;
  Index tokens_here() const { return comm::count_rows(tokens_.out.receive); }
  Index choices_here() const { return comm::count_rows(choices_.out.receive); }

  const comm::Itinerary& tokens() const { return tokens_; }
  const comm::Itinerary& choices() const { return choices_; }
  /// (world ranks) kept choices of this rank's tokens by the rank that holds their expert.
  const std::vector<std::int64_t>& traffic() const { return traffic_; }
  /// Bytes that begin() sent to number r of the ranks that share the leg.
  std::int64_t bytes_to(std::size_t r) const { return work_->counts.bytes_to(r) + work_->choices.bytes_to(r); }

 private:
  Index home_pieces() const { return std::ssize(piece_ends_); }
  void clear(const Choice& choice);
  std::int64_t list_part(int part);
  void list_rows_of_tokens();
  int pieces_from(int part) const;
  void send(comm::RowRanges numbers, std::int64_t step);
  void take_counts();
  void expect_choices();
  void take_pieces(std::int32_t* begins);
  void take_choices(const Queue& queue);

  Layout layout_;
  int stop_;  ///< before the leg, which has its number
  Leg leg_;
  int parts_, me_;  ///< of the leg, and this rank's own among them
  int experts_, groups_;
  std::vector<int> place_of_;  ///< (E) who holds an expert
  int block_;
  Pieces cut_into_ = Pieces::grains;
  CrossingWork* work_ = nullptr;        ///< of the lane
  comm::Exchange* exchange_ = nullptr;  ///< of the leg
  bool counts_known_ = false, choices_expected_ = false, whole_ = false;
  comm::RowRanges numbers_;  ///< of choices that come of each rank that shares the leg
  Choice choice_;            ///< the caller's
  std::vector<Index> piece_ends_;
  Index home_tokens_ = 0, pieces_ = 0, largest_piece_ = 0;
  comm::Itinerary tokens_, choices_;
  Staged<std::int32_t> token_;        ///< of each token row
  Staged<std::int32_t> part_rows_;    ///< (tokens + 1) first, then the token row and the part of each
  Staged<std::int32_t> choice_rows_;  ///< (C) −1 where dropped
  Staged<std::int32_t> came_;         ///< of the tokens here: first choice, first of each piece, then experts
  Staged<float> weight_;
  Staged<std::uint8_t> kept_;
  Choice handed_on_;
  std::vector<std::int64_t> traffic_;
};

}  // namespace switchyard::moe
