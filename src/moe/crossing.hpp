// Rows by nodes: one row of a token for each node that holds experts of its choices, sent to the rank there that has
// this rank's number among the ranks of its node (they are a *rail*), and what this rank hands on for the others of its
// rail. Its own tokens with choices on its own node are among these.
#pragma once
#include <cstdint>
#include <vector>

#include "comm/exchange.hpp"
#include "moe/numbers.hpp"
#include "moe/plan.hpp"

namespace switchyard::moe {

/// What the crossings of a lane's layers use one after another, on the host: of each token row the number of its
/// choices and of each of these its expert and the bits of its weight, by rank of the rail, as they leave and as they
/// came.
struct CrossingWork {
  CrossingWork(Arena& arena, const Config& config, const Layout& layout);
  void read(const Queue& queue, const Choice& choice);
  HostCopy<std::int32_t> first, expert;  ///< of what routing chose
  HostCopy<float> weight;
  HostCopy<std::uint8_t> kept;
  Staged<std::int32_t> sent, received;
  Staged<std::int32_t> row_of;                             ///< (tokens, nodes) token row, −1 where there is none
  std::vector<std::int64_t> counts_sent, counts_received;  ///< of each rank: choice rows, then token rows by piece
  NumbersFlight counts, choices;
};

/// Two orders of rows on a rail. *Token rows*: (node, token), one for each token with kept choices there. *Choice
/// rows*: (node, token, choice), one for each kept choice. On the other side both come by (rank of the rail, token,
/// choice).
class Crossing : public Numbers {
 public:
  Crossing(Arena& arena, const Config& config, const Layout& layout, int block);
  /// Of what routing chose for this rank's tokens; by the host, for MPI sends it. Then its token rows are known, and it
  /// is on its way to the ranks of the rail. All of them do it, but meet only where their exchange blocks.
  void begin(const Queue& queue, const Choice& choice, Pieces pieces, const Way& rail, CrossingWork& work,
             std::int64_t step);
  /// Whether it is known how many rows come.
  bool poll(bool may_grow) override;
  /// All is known, once what the other ranks sent has come.
  void finish(const Queue& queue);

  // At home.
  Index token_rows() const { return comm::count_rows(tokens_.out.send); }
  Index choice_rows() const { return comm::count_rows(choices_.out.send); }
  const std::int32_t* token_of_row() const { return token_.device(); }
  /// The token rows of each token, which are sums of groups of experts: the nodes.
  rows::Choices rows_of_nodes() const;
  /// The choice rows of each token; as long as the choice lives that the crossing was built of.
  rows::Choices rows_of_choices() const;

  // Handed on: the tokens that came, with their choices here, all kept.
  const Choice& handed_on() const { return handed_on_; }
  Cut cut() const;
  /// Those of them that are this rank's own, and the same as token rows.
  Range own_tokens_here() const { return tokens_.out.receive[my_node()]; }
  Range own_token_rows() const { return tokens_.out.send[my_node()]; }
  Index tokens_here() const { return comm::count_rows(tokens_.out.receive); }
  Index choices_here() const { return comm::count_rows(choices_.out.receive); }

  const comm::Itinerary& tokens() const { return tokens_; }
  const comm::Itinerary& choices() const { return choices_; }
  /// (world ranks) kept choices of this rank's tokens by the rank that holds their expert.
  const std::vector<std::int64_t>& traffic() const { return traffic_; }
  /// Bytes that begin() sent to rank r of the rail.
  std::int64_t bytes_to(std::size_t r) const { return work_->counts.bytes_to(r) + work_->choices.bytes_to(r); }

 private:
  int my_node() const { return layout_.node_of_place(layout_.place()); }
  void clear(const Choice& choice);
  std::int64_t list_node(int node);
  void list_rows_of_tokens();
  int pieces_from(int node) const;
  void send(comm::RowRanges numbers, std::int64_t step);
  void take_counts();
  void expect_choices();
  void take_pieces(std::int32_t* begins);
  void take_choices(const Queue& queue);

  Layout layout_;
  int experts_, nodes_, groups_;
  std::vector<int> place_of_;  ///< (E) who holds an expert
  int block_;
  Pieces cut_into_ = Pieces::grains;
  CrossingWork* work_ = nullptr;        ///< of the lane
  comm::Exchange* exchange_ = nullptr;  ///< of the rail
  bool counts_known_ = false, choices_expected_ = false, whole_ = false;
  comm::RowRanges numbers_;  ///< of choices that come of each rank of the rail
  Choice choice_;            ///< the caller's
  Index home_tokens_ = 0, home_pieces_ = 0, pieces_ = 0, largest_piece_ = 0;
  comm::Itinerary tokens_, choices_;
  Staged<std::int32_t> token_;        ///< of each token row
  Staged<std::int32_t> node_rows_;    ///< (tokens + 1) first, then the token row and the node of each
  Staged<std::int32_t> choice_rows_;  ///< (C) −1 where dropped
  Staged<std::int32_t> came_;         ///< of the tokens here: first choice, first of each piece, then experts
  Staged<float> weight_;
  Staged<std::uint8_t> kept_;
  Choice handed_on_;
  std::vector<std::int64_t> traffic_;
};

}  // namespace switchyard::moe
