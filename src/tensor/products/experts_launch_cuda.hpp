// From a product of experts to its kernel: tensor maps, tile shapes, launch.
#pragma once
#include "base/check.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/products/experts_cuda.hpp"
#include "tensor/products/experts_kernel_cuda.hpp"

namespace switchyard::products::experts {

/// Boxes of (64 columns, box_rows) of a row-major matrix (rows, columns), rows `stride` elements apart.
CUtensorMap matrix_map(const __nv_bfloat16* data, std::int64_t rows, int columns, std::int64_t stride, int box_rows);

/// The same of `count` matrices.
CUtensorMap matrices_map(const Matrices& matrices, int count, int rows, int columns, int box_rows);

/// Multiprocessors of the current device.
int multiprocessors();

/// Lets blocks of `kernel` have `shared_bytes`. Returns how many clusters of `size` of them the current device holds at
/// once: not all parts of it have an even number of multiprocessors.
int make_ready(const void* kernel, int size, int shared_bytes);

/// Throws Error{internal} unless the call's sizes are as its comment says.
void check_call(const Call& call);

/// The tile shape for `columns` results of a row over `depth`, tiles of at least `least` columns: the call's own, or
/// the fastest.
TileShape choose(const Call& call, int columns, int depth, int least);

/// One product: the operands that `maps` cannot hold before the tile is known. Either parts or matrices is 1, but for
/// Weights::along_two, whose two matrices are one part.
struct Operands {
  int parts, matrices;
  const std::int32_t* index;             // of the rows of a[0], one after another then, or null
  const __nv_bfloat16* a[max_matrices];  // (rows, depth) of each part
  std::int64_t a_stride[max_matrices];
  int depth[max_matrices];
  Matrices b[max_matrices];   // of each part, or matrix
  int columns[max_matrices];  // of each matrix
};

template <class Shape, Weights weights>
Maps make_maps(const Call& call, const Operands& o) {
  Maps maps{};
  for (int i = 0; i < o.parts && !o.index; ++i)
    maps.a[i] = matrix_map(o.a[i], call.rows, o.depth[i], o.a_stride[i], Shape::rows);
  const int count = o.b[0].next ? call.experts : 1;
  for (int i = 0; i < o.parts * o.matrices; ++i)
    maps.b[i] =
        weights == Weights::across
            ? matrices_map(o.b[i], count, o.depth[i], o.columns[0], depth_step)
            : matrices_map(o.b[i], count, o.columns[i], o.depth[0],
                           weights == Weights::along_two ? Shape::columns / 2 : Shape::columns / Shape::cluster);
  return maps;
}

template <class Shape, Weights weights>
Problem make_problem(const Call& call, const Operands& o) {
  constexpr int channels = weights == Weights::along_two ? Shape::columns / 2 : Shape::columns;
  const auto tiles = [&](int i) { return (o.columns[i] + channels - 1) / channels; };
  Problem p{};
  p.loads = {call.first, call.last, call.most};
  p.experts = call.experts, p.next = o.b[0].next ? 1 : 0;
  p.across = {tiles(0), no_tile, no_tile};
  if (weights == Weights::along && o.matrices > 1) p.across.second = p.across.tiles, p.across.tiles += tiles(1);
  if (weights == Weights::along && o.matrices > 2) p.across.third = p.across.tiles, p.across.tiles += tiles(2);
  p.parts = o.parts, p.depth = o.depth[0];
  for (int i = 0; i < o.parts; ++i) p.all_steps += p.steps[i] = (o.depth[i] + depth_step - 1) / depth_step;
  p.index = o.index, p.gathered = o.a[0], p.hang = call.hang;
  return p;
}

template <class Shape, Weights weights, class Epilogue>
void launch_shape(const Call& call, const Operands& o, const Epilogue& epilogue) {
  const Problem problem = make_problem<Shape, weights>(call, o);
  constexpr int rows = Shape::rows * Shape::cluster;
  const std::int64_t tiles = ((call.rows + rows - 1) / rows + call.experts) * problem.across.tiles;
  expect(tiles < (std::int64_t{1} << 30), "fewer tiles");
  const auto kernel = product<Shape, weights, Epilogue>;
  static const int clusters = make_ready(reinterpret_cast<const void*>(kernel), Shape::cluster,
                                         Shape::shared_bytes);  // of one device a process
  const int blocks = static_cast<int>(tiles < clusters ? tiles : clusters) * Shape::cluster;
  gpu::launch(kernel, static_cast<unsigned>(blocks), threads, Shape::shared_bytes, call.stream,
              make_maps<Shape, weights>(call, o), problem, epilogue);
}

/// Launches in the tile shape that choose() says.
template <Weights weights, class Epilogue>
void launch(const Call& call, const Operands& o, const Epilogue& epilogue) {
  check_call(call);
  if (call.rows == 0 || call.experts == 0) return;
  int columns = 0, depth = 0;
  const auto eights = [](std::int64_t width) { return width > 0 && width % 8 == 0; };
  for (int i = 0; i < o.matrices; ++i) expect(eights(o.columns[i]), "columns in eights"), columns += o.columns[i];
  for (int i = 0; i < o.parts; ++i)
    expect(eights(o.depth[i]) && eights(o.a_stride[i]), "depths and strides in eights"), depth += o.depth[i];
  for (int i = 1; i < o.parts * o.matrices; ++i)
    expect(!o.b[i].next == !o.b[0].next, "matrices of each expert, or of all");
  switch (choose(call, columns, depth, Epilogue::least_columns)) {
    case TileShape::tiny:
      if constexpr (Epilogue::least_columns <= Tiny::columns) return launch_shape<Tiny, weights>(call, o, epilogue);
      [[fallthrough]];
    case TileShape::small:
      return launch_shape<Small, weights>(call, o, epilogue);
    case TileShape::tall:
      return launch_shape<Tall, weights>(call, o, epilogue);
    case TileShape::tall_pair:
      return launch_shape<TallPair, weights>(call, o, epilogue);
    case TileShape::flat_pair:
      return launch_shape<FlatPair, weights>(call, o, epilogue);
    case TileShape::square:
      return launch_shape<Square, weights>(call, o, epilogue);
    default:
      return launch_shape<Flat, weights>(call, o, epilogue);
  }
}

}  // namespace switchyard::products::experts
