// The rows (tokens) that a rank works on, cut into whole sequences and grains.
#pragma once
#include <vector>

#include "config/config.hpp"
#include "config/layout.hpp"
#include "tensor/arena.hpp"
#include "tensor/products/products.hpp"
#include "tensor/queue.hpp"

namespace switchyard::nn {

/// Rows of some networks, and how the pieces of the parameters' nodes cut each of them (products::GrainSegments).
struct NetworkRows {
  products::Segments networks;
  products::Segments pieces;
  int pieces_of_one;
  const std::vector<TreeNode>* nodes = nullptr;  ///< that make up the pieces
  LaneSums sums = {};                            ///< where their sums go
  Index usual = 0;                               ///< rows of a piece at even loads (products::GrainSegments)
};

/// Rows that become a result, or that it is added to.
struct Result {
  Tensor rows;
  products::Write write = products::Write::replace;
};

/// The gradient of the residual stream (N, d): a sum of floats, and that sum rounded to what products read, which is
/// the same memory where they read floats.
struct StreamGradient {
  StreamGradient(const Tensor& floats, const Tensor& of_products) : sum(floats), rounded(of_products) {}
  StreamGradient(Arena& arena, Element branch, Index rows, Index width)
      : sum(arena.tensor(Element::f32, rows, width)),
        rounded(branch == Element::f32 ? sum : arena.tensor(branch, rows, width)) {}
  Tensor sum, rounded;
  mutable Lent lent;  ///< `rounded`, to gradients of weights
};

/// Geometry of a lane's part of a batch; the same for every pass of a run.
struct Rows {
  Index count = 0;                ///< N, local tokens
  Index sequences = 0;            ///< local sequences
  int context = 0;                ///< T
  Index step_tokens = 0;          ///< tokens of the global batch
  Index grain_rows = 0;           ///< rows of one grain
  std::vector<Index> grains;      ///< (local grains + 1) first row of each local grain
  std::vector<Index> pieces;      ///< (local pieces + 1) first row of each local piece: of equal numbers of grains
  int piece_grains = 1;           ///< grains of one piece
  std::vector<TreeNode> nodes;    ///< tree nodes that make up the local pieces
  LaneSums sums;                  ///< where gradients of these are summed, and what follows then
  Element branch = Element::f32;  ///< what branches of the residual stream are made of
  int grain_count() const { return static_cast<int>(grains.size()) - 1; }
  int piece_count() const { return static_cast<int>(pieces.size()) - 1; }
  /// Of a network that every token passes.
  NetworkRows network() const {
    return {products::dense(count), products::even(piece_count(), grain_rows * piece_grains), piece_count(), &nodes,
            sums};
  }
};

/// What branches of the residual stream are made of.
inline Element branch_of(const Config& config) {
  return config.train.precision == Precision::bf16 ? Element::bf16 : Element::f32;
}

/// Of the lane that `layout` is seen from.
inline Rows make_rows(const Config& config, const Layout& layout) {
  const Index grains = layout.my_lane_grains().size(), pieces = layout.my_lane_pieces().size();
  Rows rows;
  rows.branch = branch_of(config);
  rows.context = config.model.context;
  rows.step_tokens = config.step_tokens();
  rows.nodes = layout.my_lane_nodes();
  rows.sums = layout.my_lane_sums()[layout.lane];
  rows.grain_rows = Index{config.grain_sequences()} * config.model.context;
  for (Index g = 0; g <= grains; ++g) rows.grains.push_back(g * rows.grain_rows);
  if (pieces > 0) rows.piece_grains = static_cast<int>(grains / pieces);
  for (Index p = 0; p <= pieces; ++p) rows.pieces.push_back(rows.grains[p * rows.piece_grains]);
  rows.sequences = grains * config.grain_sequences();
  rows.count = rows.grains.back();
  return rows;
}

}  // namespace switchyard::nn
