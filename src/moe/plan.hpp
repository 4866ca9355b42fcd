// What routing decided, as permutation, counts and offsets on both sides: made once a layer and pass, shared by
// dispatch, combine and both of their backward passes.
#pragma once
#include <cstdint>
#include <vector>

#include "comm/exchange.hpp"
#include "comm/groups.hpp"
#include "moe/choice_order.hpp"
#include "moe/even_loads.hpp"
#include "moe/expert_order.hpp"
#include "moe/numbers.hpp"
#include "moe/rows.hpp"
#include "tensor/products/products.hpp"
#include "tensor/room.hpp"
#include "tensor/types.hpp"

namespace switchyard::moe {

/// What sums over tokens are cut into: grains, or all tokens of a rank and lane, as in evaluation and with determinism
/// `run`.
enum class Pieces { grains, ranks };

/// Pieces of the tokens of one rank of the expert-parallel group.
int pieces_of(const Layout& layout, int place, Pieces pieces);

/// Ranks that rows are carried between, and how.
struct Way {
  const comm::Communicator& group;
  comm::Exchange& exchange;
};

/// Three orders of rows. *Choices*: (token, choice), dropped ones included. *Send rows*: the kept choices of this rank
/// by (seat, token, choice), so that the rows for one place of the expert-parallel group lie together; seats are
/// experts but for a placement (Layout::expert_at), and those that share an expert get the same rows. Home each of
/// these sends its part of the sum over the hidden width: what comes home are send rows, once a copy. *Expert rows*:
/// the rows of the local experts by (seat, source place, token), which is (seat, global token order).
/// With layout.local_first rows that stay, of this rank's own tokens, lie before all others, in either order; in what
/// ranks that share experts send each other so do the rows of the sender's own tokens.
class Plan : public Numbers {
 public:
  /// Of a lane's way through the mixture of a block, with memory for a pass of `config` at even loads.
  Plan(Arena& arena, const Config& config, const Layout& layout, int block);

  /// Of what routing chose for tokens that are cut into pieces: those of this rank, or those that reach its node by it.
  /// Then send rows are known, and how many there are is on its way to the ranks of layout.near_places(), whose
  /// exchange will carry the rows. All of them do it, but meet only where that exchange blocks.
  void begin(const Queue& queue, const Cut& cut, const Choice& choice, Pieces pieces, const Way& way,
             std::int64_t step);
  bool poll(bool may_grow) override;
  /// Expert rows are known, once the numbers of all ranks have come.
  void finish(const Queue& queue);
  /// Whether an expert-parallel group is this rank alone. Then the device decides where rows lie, and the host, which
  /// launches what works on them, knows a bound until it asks: settle() tells it, once the queue is through with the
  /// pass.
  bool resident() const { return resident_; }
  void settle();
  void count_traffic();                  ///< of what settle() tells only traffic(), which is less to do
  void unsettle() { settled_ = false; }  ///< of a plan that the device makes again by itself

  /// The pieces of a choice of this rank's own tokens, of the lane.
  Cut cut(const Choice& choice, Pieces pieces) const {
    return cut_of(choice.tokens(), pieces_of(layout_, layout_.place(), pieces), 1);
  }

  int local_experts() const { return static_cast<int>(mine_.size()); }
  /// Global id of a local expert; they ascend.
  int expert_at(int local) const { return layout_.expert_at(block_, mine_.first + local); }
  /// Rows are handed on by nobody but this rank: send rows are expert rows, nothing travels.
  bool alone() const { return alone_; }
  Index send_rows() const { return comm::count_rows(to_experts_.send); }
  int copies() const { return layout_.expert_tensor_parallel; }
  /// As many as there are, or at most, of a resident plan that is not settled.
  Index expert_rows() const { return resident_ && !settled_ ? capacity_ : ordered_.rows(); }

  /// Token of each send row, device.
  const std::int32_t* token_of_row() const { return token_.data(); }
  /// Send rows of the tokens' choices, as long as the choice lives that the plan was built of.
  rows::Choices rows_of_tokens() const { return {tokens_, capacity_, first_.data(), row_.data(), order_}; }
  /// Received row of each expert row, device; unused where alone().
  const std::int32_t* received_of_row() const { return received_.data(); }

  /// Of the rows from tokens to experts and home; where alone() there is none.
  const comm::Itinerary& itinerary() const { return itinerary_; }

  /// Some of the expert rows, of all local experts: those of e are [e], [e + 1] of them, as the device has them after
  /// finish(), and the host as well, of a resident plan after settle().
  struct Rows {
    Range rows;
    const std::vector<Index>& offsets;
    const Index* on_device;
    products::Segments segments() const {
      return products::consecutive(on_device, static_cast<int>(offsets.size()) - 1, rows.size());
    }
  };
  /// Rows that stay, none without layout.local_first; and all others.
  Rows here() const { return {{0, ordered_.here.back()}, ordered_.here, offsets_.device()}; }
  Rows others() const {
    return {{ordered_.here.back(), expert_rows()}, ordered_.others, offsets_.device() + local_experts() + 1};
  }
  /// The send rows that are here(), in the same order.
  Range staying() const {
    const std::int64_t first = to_experts_.send[my_near(layout_)].first;
    return {first, first + here().rows.size()};
  }
  /// Expert rows of local expert e and piece g of the expert-parallel group are [e * pieces() + g]; pieces are in
  /// the order of layout.near_places() and what each of these hands on.
  const std::vector<Range>& piece_rows() const { return ordered_.pieces; }
  int pieces() const { return static_cast<int>(first_piece_.back()); }
  bool by_grains() const { return by_grains_; }
  /// Of a resident plan, device: first row (pieces, E) and number of rows (pieces, E + 1).
  struct PieceRows {
    Matrix<std::int32_t> first, count;
  };
  PieceRows rows_of_pieces() const {
    return {Matrix<std::int32_t>(begins_.device(), pieces(), experts_), counted_.total};
  }

  /// (world ranks) rows this rank sends to each; kept rows, itself included, those of a team at its first rank. Of a
  /// resident plan after settle() or count_traffic().
  const std::vector<std::int64_t>& traffic() const { return traffic_; }
  /// Bytes of counts that begin() sent to number `near` of the near places.
  std::int64_t bytes_to(std::size_t near) const { return alone_ ? 0 : counts_.bytes_to(near); }

 private:
  void make_tables();
  void number_pieces();
  Range seats_near(int near) const { return layout_.experts_of(static_cast<int>(near_.first) + near, experts_); }
  void expect_whole(Index pieces) const;
  void take_totals(Index pieces);
  void begin_rows(Index pieces);
  void send_counts(std::int64_t step);
  void take_counts();
  comm::RowPlan way_home() const;
  void order_received(const Queue& queue);
  void put_offsets(const Queue& queue);

  Layout layout_;
  int block_, experts_;
  Range near_, mine_;
  bool local_first_;
  rows::SumOrder order_;
  bool alone_, resident_, settled_ = false, by_grains_ = true;
  Index tokens_ = 0, capacity_ = 0;
  Vector<std::int32_t> first_;             ///< the caller's
  std::vector<std::int64_t> first_piece_;  ///< (near places + 1) pieces before those that a place hands on
  std::vector<std::int64_t> counts_out_;   ///< (near team, my piece, its seat) rows
  std::vector<std::int64_t> counts_in_;    ///< (group piece, my seat) rows
  NumbersFlight counts_;
  comm::Exchange* exchange_ = nullptr;  ///< that of the rows
  bool counts_known_ = false, whole_ = false;
  comm::RowPlan to_experts_;
  comm::Itinerary itinerary_;
  std::vector<Range> first_here_;  ///< (near places) pieces whose rows come before the others of a place
  ExpertOrder ordered_;
  std::vector<std::int64_t> traffic_;
  ExpertCounts counted_;
  Twin<Matrix<std::int32_t>> totals_;  ///< those of counted_, for the host
  Staged<std::int32_t> begins_;        ///< (pieces, E) first send row
  Staged<std::int32_t> runs_;          ///< (runs + 1) first expert row of each, then (runs) its received row
  Staged<Index> offsets_;              ///< (local experts + 1) of rows that stay, then of the others
  Room<std::int32_t> token_, row_, received_;
};

}  // namespace switchyard::moe
