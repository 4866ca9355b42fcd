// What routing decided, as permutation, counts and offsets on both sides: made once a layer and pass, shared by
// dispatch, combine and both of their backward passes.
#pragma once
#include <cstdint>
#include <vector>

#include "comm/exchange.hpp"
#include "comm/groups.hpp"
#include "moe/choice_order.hpp"
#include "moe/rows.hpp"
#include "tensor/room.hpp"
#include "tensor/types.hpp"

namespace switchyard::moe {

/// Expert rows of this rank in a layer of `experts` where loads are even, and the most choices of its tokens: of the
/// lane that the layout is seen from.
Index even_expert_rows(const Config& config, const Layout& layout, int experts);
Index most_expert_rows(const Config& config, const Layout& layout);  ///< of the largest layer
Index most_choices(const Config& config, const Layout& layout);

/// What sums over tokens are cut into: grains, or all tokens of a rank and lane, as in evaluation and with determinism
/// `run`.
enum class Pieces { grains, ranks };

/// Three orders of rows. *Choices*: (token, choice), dropped ones included. *Send rows*: the kept choices of this rank
/// by (expert, token, choice), so that the rows for one place of the expert-parallel group lie together. *Expert rows*:
/// the rows of the local experts by (expert, source place, token), which is (expert, global token order).
class Plan {
 public:
  /// Of a lane's way through a layer of `experts`, with memory for a pass of `config` at even loads.
  Plan(Arena& arena, const Config& config, const Layout& layout, int experts);

  /// Of what routing chose for tokens that are whole pieces. Collective over the expert-parallel group, whose exchange
  /// will carry the rows.
  void build(const Queue& queue, const Choice& choice, Pieces pieces, const comm::Communicator& group,
             const comm::Exchange& exchange);

  int local_experts() const { return static_cast<int>(mine_.size()); }
  int first_expert() const { return static_cast<int>(mine_.first); }
  /// The expert-parallel group is this rank alone: send rows are expert rows, nothing travels.
  bool alone() const { return alone_; }
  Index send_rows() const { return to_experts_.send.back(); }
  Index expert_rows() const { return expert_offsets_.back(); }

  /// Token of each send row, device.
  const std::int32_t* token_of_row() const { return token_.data(); }
  /// Send rows of the tokens' choices, as long as the choice lives that the plan was built of.
  rows::Choices rows_of_tokens() const { return {tokens_, capacity_, first_.data(), row_.data()}; }
  /// Received row of each expert row, device; unused where alone().
  const std::int32_t* received_of_row() const { return received_.data(); }

  /// Of the rows from tokens to experts and home; where alone() there is none.
  const comm::Itinerary& itinerary() const { return itinerary_; }

  /// Expert rows of local expert e are [e], [e + 1].
  const std::vector<Index>& expert_offsets() const { return expert_offsets_; }
  /// Expert rows of local expert e and piece g of the expert-parallel group start at [e * pieces() + g]. Pieces that
  /// are not grains are one in the whole group.
  const std::vector<Index>& piece_offsets() const { return by_grains_ ? piece_offsets_ : expert_offsets_; }
  int pieces() const { return by_grains_ ? static_cast<int>(first_piece_.back()) : 1; }
  bool by_grains() const { return by_grains_; }

  /// (world ranks) rows this rank sends to each; kept rows, itself included.
  const std::vector<std::int64_t>& traffic() const { return traffic_; }
  /// Bytes of counts this rank sent to others in build().
  std::int64_t bytes_sent() const { return bytes_; }

 private:
  void make_tables();
  void count_choices(const Queue& queue, const Cut& cut, const Choice& choice);
  void begin_rows(const Queue& queue, Index pieces);
  void exchange_counts(const comm::Communicator& group);
  void order_received(const Queue& queue);
  int pieces_of(int place) const;

  Layout layout_;
  int experts_;
  Range mine_;
  bool alone_, by_grains_ = true;
  Index tokens_ = 0, capacity_ = 0;
  Vector<std::int32_t> first_;  ///< the caller's
  std::int64_t bytes_ = 0;
  std::vector<int> place_;                 ///< (E) who holds an expert
  std::vector<std::int64_t> first_piece_;  ///< (EP + 1) pieces of the group before those of a place
  std::vector<std::int64_t> counts_out_;   ///< (place, my piece, its expert) rows
  std::vector<std::int64_t> counts_in_;    ///< (group piece, my expert) rows
  std::vector<int> mpi_counts_[2], mpi_offsets_[2];
  comm::RowPlan to_experts_;
  comm::Itinerary itinerary_;
  std::vector<Index> expert_offsets_, piece_offsets_;
  std::vector<std::int64_t> traffic_;
  ExpertCounts counted_;
  Twin<Matrix<std::int32_t>> totals_;  ///< those of counted_, for the host
  Staged<std::int32_t> begins_;        ///< (pieces, E) first send row
  Staged<std::int32_t> runs_;  ///< (runs + 1) first expert row of each (expert, place), then (runs) its received row
  Vector<std::int32_t> token_, row_;
  Room<std::int32_t> received_;
};

}  // namespace switchyard::moe
