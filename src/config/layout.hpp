// Who holds what: pure arithmetic of ranks, grains and experts, without MPI.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/check.hpp"
#include "base/tree.hpp"
#include "config/config.hpp"

namespace switchyard {

/// Half-open range [first, last).
struct Range {
  std::int64_t first = 0;
  std::int64_t last = 0;
  std::int64_t size() const { return last - first; }
  bool operator==(const Range&) const = default;
};

/// Part `part` of `parts` of [0, total): contiguous, sizes differ by at most one.
inline Range split_evenly(std::int64_t total, std::int64_t parts, std::int64_t part) {
  return {total * part / parts, total * (part + 1) / parts};
}

/// Where a placement has the experts of each mixture.
struct Seats {
  struct Block {
    std::vector<int> expert_at;  ///< (E) by seat; at one place of an expert-parallel group they ascend
    std::vector<int> seat_of;    ///< (E) by expert
  };
  std::map<int, Block> blocks;
  std::vector<int> kept_widths;  ///< widths of Layout::legs() whose parts no expert has left
  bool keeps(int width) const { return std::find(kept_widths.begin(), kept_widths.end(), width) != kept_widths.end(); }
  const Block& of(int block) const {
    const auto found = blocks.find(block);
    expect(found != blocks.end(), "a block that the placement has");
    return found->second;
  }
};

/// A hop of rows of which a token has one for each part of an expert-parallel group with experts of its choices. A part
/// is `width` neighbouring places; of part i the place that the row goes to has the number there that its sender has in
/// its own: these places share an exchange, in the order of the parts.
struct Leg {
  int width;
  Range parts;  ///< that rows go to, the sender's own among them
  bool rail;    ///< between nodes, or else inside one
  /// Of a part, the place that a row goes to from place p.
  int place_in(std::int64_t part, int p) const { return static_cast<int>(part * width + p % width); }
};

/// The layout of a run as seen from one rank, and from one of its lanes. Ranks [group*EP, (group+1)*EP) form an
/// expert-parallel group, in which T neighbours, a team, share each of their experts: its hidden width is cut.
struct Layout {
  int ranks = 1;
  int rank = 0;
  int expert_parallel = 1;  ///< EP
  int grains = 1;           ///< G
  Determinism determinism = Determinism::layout;
  int lanes = 1;  ///< parts of the grains of a rank; a power of two
  int lane = 0;
  int expert_tensor_parallel = 1;  ///< T
  int node_places = 0;    ///< neighbouring places on each node of a group, where rows go by nodes; 0: they go straight
  bool gathered = false;  ///< and inside a node a token once to each of its ranks, not each of its choices
  std::shared_ptr<const Seats> seats{};  ///< null without a placement: every expert has the seat of its number

  int groups() const { return ranks / expert_parallel; }
  int teams() const { return expert_parallel / expert_tensor_parallel; }  ///< of a group
  int group_of(int r) const { return r / expert_parallel; }
  int place_of(int r) const { return r % expert_parallel; }
  int group() const { return group_of(rank); }
  int place() const { return place_of(rank); }
  /// The way of a token's rows before its choices part: on a rail to the rank of each node that has this one's number
  /// there, where a group has several nodes, and from there, if they are gathered, to each rank. Nothing where they go
  /// straight.
  std::vector<Leg> legs_of(int p) const {
    std::vector<Leg> legs;
    legs.reserve(2);
    const Range node{p / std::max(1, node_places) * node_places, (p / std::max(1, node_places) + 1) * node_places};
    if (node_places > 0 && node_places < expert_parallel)
      legs.push_back({node_places, {0, expert_parallel / node_places}, true});
    if (gathered && node_places > 1) legs.push_back({1, node, false});
    return legs;
  }
  std::vector<Leg> legs() const { return legs_of(place()); }
  bool by_nodes() const { return !legs().empty(); }
  /// Places of the last of its parts: those among which a row goes to its expert itself, all of the group without legs.
  int last_width() const { return by_nodes() ? legs().back().width : expert_parallel; }
  Range near_places() const {
    const int width = last_width(), first = place() / width * width;
    return {first, first + width};
  }
  /// Calls f(place) for the places whose tokens `place` has after so many legs, in the order in which they lie there.
  template <class F>
  void for_sources(int after, int p, const F& f) const {
    if (after == 0) return f(p);
    const Leg leg = legs_of(p)[static_cast<std::size_t>(after - 1)];
    for (std::int64_t part = leg.parts.first; part < leg.parts.last; ++part)
      for_sources(after - 1, leg.place_in(part, p), f);
  }
  /// Grains of a rank; may be empty.
  Range grains_of(int r) const { return split_evenly(grains, ranks, r); }
  Range my_grains() const { return grains_of(rank); }
  /// Grains of a whole expert-parallel group.
  Range group_grains(int g) const {
    return {grains_of(g * expert_parallel).first, grains_of((g + 1) * expert_parallel - 1).last};
  }
  Range my_group_grains() const { return group_grains(group()); }
  /// Those of the lane of a rank; may be empty.
  Range lane_grains_of(int r) const {
    const Range all = grains_of(r), part = split_evenly(all.size(), lanes, lane);
    return {all.first + part.first, all.first + part.last};
  }
  Range my_lane_grains() const { return lane_grains_of(rank); }
  /// How many grains of an expert-parallel group its ranks have in this lane.
  std::int64_t group_lane_grains() const {
    const std::int64_t few = grains / ranks,
                       more = my_group_grains().size() - expert_parallel * few;  // ranks with one more
    return more * split_evenly(few + 1, lanes, lane).size() +
           (expert_parallel - more) * split_evenly(few, lanes, lane).size();
  }
  /// Seats [first, last) of the E experts of a block at one place of an expert-parallel group, the same in a team;
  /// empty where E leaves its team none. Without a placement they are the numbers of the experts held there.
  Range experts_of(int place, int experts) const {
    return split_evenly(experts, teams(), place / expert_tensor_parallel);
  }
  Range my_experts(int experts) const { return experts_of(place(), experts); }
  /// Chunks [first, last) of C of each of them.
  Range chunks_of(int place, int chunks) const {
    return split_evenly(chunks, expert_tensor_parallel, place % expert_tensor_parallel);
  }
  Range my_chunks(int chunks) const { return chunks_of(place(), chunks); }
  /// Those of part `part` of the parts of so many places each.
  Range experts_of_part(int width, int part, int experts) const {
    return {experts_of(part * width, experts).first, experts_of((part + 1) * width - 1, experts).last};
  }
  /// First place in the expert-parallel group of the team that has seat s of E.
  int place_of_seat(int s, int experts) const {
    int team = static_cast<int>(std::int64_t{s} * teams() / experts);
    const auto held = [&] { return experts_of(team * expert_tensor_parallel, experts); };
    while (held().last <= s) ++team;
    while (held().first > s) --team;
    return team * expert_tensor_parallel;
  }
  /// The expert in a seat of a block. Those at one place ascend.
  int expert_at(int block, std::int64_t seat) const {
    return seats ? seats->of(block).expert_at[static_cast<std::size_t>(seat)] : static_cast<int>(seat);
  }
  /// Place in the expert-parallel group that holds expert e of the E of a block.
  int place_of_expert(int block, int e, int experts) const {
    return place_of_seat(seats ? seats->of(block).seat_of[static_cast<std::size_t>(e)] : e, experts);
  }
  /// Whether the pieces of `holders` (ranks or expert-parallel groups, which together have all grains) are grains: with
  /// determinism `run` only where there are not enough of these for all lanes.
  bool by_grains(int holders) const {
    return determinism == Determinism::layout || grains < std::int64_t{holders} * lanes;
  }
  /// Pieces of the batch, over the rows of each of which a gradient is one chain. Those of holder h of `holders` are
  /// its grains, or, with determinism `run`, all that a lane has of these as one.
  Range pieces_of(int h, int holders) const {
    return split_evenly(by_grains(holders) ? grains : std::int64_t{holders} * lanes, holders, h);
  }
  Range my_pieces() const { return pieces_of(rank, ranks); }
  Range my_group_pieces() const { return pieces_of(group(), groups()); }
  /// Of a rank's those of the lane.
  Range my_lane_pieces() const {
    if (by_grains(ranks)) return my_lane_grains();
    return {my_pieces().first + lane, my_pieces().first + lane + 1};
  }
  /// The same with pieces that are grains, along whose tree statistics are summed always.
  Layout of_statistics() const {
    Layout layout = *this;
    layout.determinism = Determinism::layout;
    return layout;
  }
  /// Tree nodes of this rank's pieces (sums of replicated gradients).
  std::vector<TreeNode> my_nodes() const { return nodes_in(my_pieces()); }
  std::vector<TreeNode> my_lane_nodes() const { return nodes_in(my_lane_pieces()); }
  /// How the sums of each lane become those.
  std::vector<LaneSums> my_lane_sums() const { return lane_sums(nodes_of_lanes()); }
  /// Most sums that there are at once.
  int my_slots() const {
    int slots = 0;
    const std::vector<LaneSums> sums = my_lane_sums();
    const std::vector<std::vector<TreeNode>> nodes = nodes_of_lanes();
    for (std::size_t l = 0; l < nodes.size(); ++l)
      slots = std::max(slots, sums[l].slot + static_cast<int>(nodes[l].size()));
    return slots;
  }
  /// Tree nodes of this rank's expert-parallel group (sums of expert gradients).
  std::vector<TreeNode> my_group_nodes() const { return nodes_in(my_group_pieces()); }
  /// The same of every rank, and of every expert-parallel group.
  std::vector<std::vector<TreeNode>> nodes_of_ranks() const {
    std::vector<std::vector<TreeNode>> nodes;
    for (int r = 0; r < ranks; ++r) nodes.push_back(nodes_in(pieces_of(r, ranks)));
    return nodes;
  }
  std::vector<std::vector<TreeNode>> nodes_of_groups() const {
    std::vector<std::vector<TreeNode>> nodes;
    for (int g = 0; g < groups(); ++g) nodes.push_back(nodes_in(pieces_of(g, groups())));
    return nodes;
  }

 private:
  std::vector<std::vector<TreeNode>> nodes_of_lanes() const {
    std::vector<std::vector<TreeNode>> nodes;
    for (Layout of = *this; static_cast<int>(nodes.size()) < lanes;) {
      of.lane = static_cast<int>(nodes.size());
      nodes.push_back(of.my_lane_nodes());
    }
    return nodes;
  }
  static std::vector<TreeNode> nodes_in(const Range& pieces) {
    return tree_nodes(static_cast<int>(pieces.first), static_cast<int>(pieces.last));
  }
};

/// What a placement means on a layout (its seats aside): the order within a place has no meaning, so experts ascend
/// there. Each order must be a permutation.
inline std::shared_ptr<const Seats> seats_on(const Layout& layout, const SeatOrders& orders) {
  const auto seats = std::make_shared<Seats>();
  for (const Leg& leg : layout.legs()) seats->kept_widths.push_back(leg.width);
  for (const auto& [block, order] : orders.by_block) {
    const int experts = static_cast<int>(order.size());
    Seats::Block of{order, std::vector<int>(order.size())};
    for (int place = 0; place < layout.expert_parallel; ++place) {
      const Range held = layout.experts_of(place, experts);
      std::sort(of.expert_at.begin() + held.first, of.expert_at.begin() + held.last);
      for (std::int64_t seat = held.first; seat < held.last; ++seat) {
        const int expert = of.expert_at[static_cast<std::size_t>(seat)];
        of.seat_of[static_cast<std::size_t>(expert)] = static_cast<int>(seat);
        const int before = layout.place_of_seat(expert, experts);
        std::erase_if(seats->kept_widths, [&](int width) { return before / width != place / width; });
      }
    }
    seats->blocks.emplace(block, std::move(of));
  }
  return seats;
}

/// The seats of a run's layout options: null where its placement is contiguous. A file must have been read.
inline std::shared_ptr<const Seats> seats_of(const LayoutConfig& options, const Layout& layout) {
  expect((options.placement == contiguous_placement) == (options.seat_orders == nullptr),
         "a placement file that has been read");
  return options.seat_orders ? seats_on(layout, *options.seat_orders) : nullptr;
}

}  // namespace switchyard
