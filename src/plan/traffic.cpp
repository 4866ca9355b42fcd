#include "plan/traffic.hpp"

#include <algorithm>
#include <limits>

#include "config/architecture.hpp"
#include "config/even_routing.hpp"

namespace switchyard::plan {
namespace {

/// Adds what goes from rank to rank up: of ranks inside their nodes, and of nodes.
class PairBytes {
 public:
  PairBytes(int ranks, int ranks_per_node)
      : per_node_(ranks_per_node),
        sent_(ranks),
        got_(ranks),
        node_sent_((ranks + ranks_per_node - 1) / ranks_per_node),
        node_got_(node_sent_.size()) {}
  void add(int from, int to, double bytes) {
    if (from == to) return;
    all_.all += bytes;
    const int a = from / per_node_, b = to / per_node_;
    if (a == b) {
      sent_[from] += bytes, got_[to] += bytes;
    } else {
      all_.across += bytes, node_sent_[a] += bytes, node_got_[b] += bytes;
    }
  }
  Bytes take() {
    for (const auto* of : {&sent_, &got_}) all_.near = std::max(all_.near, *std::max_element(of->begin(), of->end()));
    for (const auto* of : {&node_sent_, &node_got_})
      all_.far = std::max(all_.far, *std::max_element(of->begin(), of->end()));
    return all_;
  }

 private:
  int per_node_;
  Bytes all_;
  std::vector<double> sent_, got_, node_sent_, node_got_;
};

}  // namespace

double element_bytes(const Config& config) { return config.train.precision == Precision::bf16 ? 2.0 : 4.0; }

Bytes& Bytes::operator+=(const Bytes& other) {
  near += other.near, far += other.far, all += other.all, across += other.across;
  return *this;
}

Traffic::Traffic(const Config& config, const Layout& layout, int ranks_per_node, double load)
    : config_(config),
      layout_(layout),
      ranks_per_node_(ranks_per_node),
      load_(load),
      row_bytes_(element_bytes(config) * config.model.width) {}

double Traffic::tokens_of(const Layout& lane, int rank) const {
  return double(lane.lane_grains_of(rank).size()) * config_.grain_sequences() * config_.model.context;
}

/// One row a choice, to the rank of its expert.
Bytes Traffic::straight(const Layout& lane, int experts) const {
  PairBytes pairs(layout_.ranks, ranks_per_node_);
  for (int r = 0; r < layout_.ranks; ++r) {
    const int group = layout_.group_of(r) * layout_.expert_parallel;
    const double choices = tokens_of(lane, r) * config_.moe.top_k * row_bytes_ / experts;
    for (int p = 0; p < layout_.expert_parallel; ++p)
      pairs.add(r, group + p, choices * double(layout_.experts_of(p, experts).size()));
  }
  return pairs.take();
}

/// Of all whose rows a rank has after so many legs.
double Traffic::tokens_at(int stop, const Layout& lane, int rank) const {
  double tokens = 0.0;
  const int group = layout_.group_of(rank) * layout_.expert_parallel;
  layout_.for_sources(stop, layout_.place_of(rank), [&](int p) { tokens += tokens_of(lane, group + p); });
  return tokens;
}

/// Out one row for each part with one of a token's choices; home as many, or one a choice.
Bytes Traffic::on_leg(int leg, const Layout& lane, const MoeLayer& layer, bool out) const {
  PairBytes pairs(layout_.ranks, ranks_per_node_);
  const int width = layout_.legs()[static_cast<std::size_t>(leg)].width, parts = layout_.expert_parallel / width;
  const bool once = out || sums_on(config_, layout_, layout_.legs()[static_cast<std::size_t>(leg)]);
  std::vector<double> rows;  // of a token, to each part
  for (int part = 0; part < parts; ++part) {
    const double there = double(layout_.experts_of_part(width, part, layer.experts).size());
    rows.push_back(once ? share_of_part(config_, layout_, width, part, layer)
                        : config_.moe.top_k * there / layer.experts);
  }
  for (int r = 0; r < layout_.ranks; ++r) {
    const int place = layout_.place_of(r), group = layout_.group_of(r) * layout_.expert_parallel;
    const Leg hop = layout_.legs_of(place)[static_cast<std::size_t>(leg)];
    const double tokens = tokens_at(leg, lane, r);
    for (std::int64_t part = hop.parts.first; part < hop.parts.last; ++part)
      pairs.add(r, group + hop.place_in(part, place), tokens * rows[static_cast<std::size_t>(part)] * row_bytes_);
  }
  return pairs.take();
}

/// The choices of all tokens that a rank hands to experts, of which those on its node.
Bytes Traffic::inside(const Layout& lane, int experts) const {
  PairBytes pairs(layout_.ranks, ranks_per_node_);
  const int near = layout_.last_width(), legs = static_cast<int>(layout_.legs().size());
  for (int r = 0; r < layout_.ranks; ++r) {
    const int group = layout_.group_of(r) * layout_.expert_parallel, first = layout_.place_of(r) / near * near;
    const double tokens = tokens_at(legs, lane, r);
    for (int p = first; p < first + near; ++p)
      pairs.add(r, group + p,
                tokens * config_.moe.top_k * row_bytes_ * double(layout_.experts_of(p, experts).size()) / experts);
  }
  return pairs.take();
}

Hops Traffic::hops(int lane, const MoeLayer& layer, bool out) const {
  Layout of = layout_;
  of.lane = lane;
  Hops all;
  if (layout_.expert_parallel == 1) return all;
  all.first = layout_.by_nodes() ? on_leg(0, of, layer, out) : straight(of, layer.experts);
  if (layout_.legs().size() > 1)
    all.near = on_leg(1, of, layer, out);
  else if (layout_.by_nodes())
    all.near = inside(of, layer.experts);
  for (Bytes* bytes : {&all.first, &all.near}) bytes->near *= load_, bytes->far *= load_;
  return all;
}

/// A number of 8 bytes for each piece and expert of a rank, or each piece, and choices, of a node; of a token row one
/// of 4 bytes, and of each of its choices two.
Bytes Traffic::numbers(int lane, const MoeLayer& layer) const {
  Layout of = layout_;
  of.lane = lane;
  if (layout_.by_nodes()) {
    Bytes told = on_leg(0, of, layer, true), choices = straight(of, layer.experts);
    for (double Bytes::*part : {&Bytes::near, &Bytes::far, &Bytes::all, &Bytes::across})
      told.*part = (told.*part * 4.0 + choices.*part * 8.0) / row_bytes_;
    return told;
  }
  PairBytes pairs(layout_.ranks, ranks_per_node_);
  for (int r = 0; r < layout_.ranks; ++r)
    for (int p = 0; p < layout_.expert_parallel; ++p)
      pairs.add(r, layout_.group_of(r) * layout_.expert_parallel + p,
                8.0 * double(of.lane_grains_of(r).size() * layout_.experts_of(p, layer.experts).size()));
  return pairs.take();
}

Bytes Traffic::rows_of_step() const {
  Bytes all;
  for (const MoeLayer& layer : moe_layers(config_))
    for (int lane = 0; lane < layout_.lanes; ++lane)
      for (const Hops& hops : {rows_out(lane, layer), rows_home(lane, layer)})
        for (int pass = 0; pass < 2; ++pass) all += hops.first, all += hops.near;
  return all;
}

/// Elements that every rank has, and those of the experts of each place.
std::pair<Traffic::Held, Traffic::Held> Traffic::elements_of(const Range& blocks) const {
  Held replicated(1, 0.0), experts(static_cast<std::size_t>(layout_.expert_parallel), 0.0);
  const auto add = [&](const TensorSpec& t) {
    const double unit = double(padded_unit(t.unit()));
    if (t.placement == Placement::replicated) replicated[0] += unit;
    for (int place = 0; t.placement == Placement::expert && place < layout_.expert_parallel; ++place)
      experts[static_cast<std::size_t>(place)] += unit * double(held_units(t, layout_, place).size());
  };
  Config outside = config_;
  outside.model.blocks = 0;
  for (const TensorSpec& t : architecture(outside)) {
    const int block = t.block < 0 ? -1 : config_.model.blocks;
    if (block >= blocks.first && block < blocks.last) add(t);
  }
  for (int b = int(std::max<std::int64_t>(0, blocks.first));
       b < std::min<std::int64_t>(config_.model.blocks, blocks.last); ++b)
    for (const TensorSpec& t : block_architecture(config_, b)) add(t);
  return {replicated, experts};
}

/// `copies` messages from each holder to each other one with a slice each, of holders in equal places.
Bytes Traffic::slices(const Held& held, double copies) const {
  const int step = static_cast<int>(held.size()), holders = layout_.ranks / step;
  if (holders == 1) return {};
  PairBytes pairs(layout_.ranks, ranks_per_node_);
  for (int first = 0; first < step; ++first) {
    const double bytes = 4.0 * copies * held[static_cast<std::size_t>(first)] / holders;
    for (int a = first; a < layout_.ranks; a += step)
      for (int b = first; b < layout_.ranks; b += step) pairs.add(a, b, bytes);
  }
  return pairs.take();
}

Bytes Traffic::sums_to_owners(const Range& blocks) const {
  const auto [replicated, experts] = elements_of(blocks);
  Bytes all = slices(replicated, double(layout_.my_nodes().size()));
  return all += slices(experts, double(layout_.my_group_nodes().size()));
}

Bytes Traffic::owners_to_all(const Range& blocks) const {
  const auto [replicated, experts] = elements_of(blocks);
  Bytes all = slices(replicated, 1.0);
  return all += slices(experts, 1.0);
}

double flop_per_byte(int matrices, double hidden, double bytes, int parts) {
  if (parts <= 1) return std::numeric_limits<double>::infinity();
  return matrices * hidden / bytes * parts / (parts - 1);
}

}  // namespace switchyard::plan
