// From a product of experts to its kernel: tensor maps, tile shapes, launch.
#pragma once
#include "base/check.hpp"
#include "tensor/check_cuda.hpp"
#include "tensor/products/experts_cuda.hpp"
#include "tensor/products/experts_kernel_cuda.hpp"

namespace switchyard::products::experts {

/// Boxes of (64 columns, box_rows) of a row-major matrix (rows, columns).
CUtensorMap matrix_map(const __nv_bfloat16* data, std::int64_t rows, int columns, int box_rows);

/// The same of `count` matrices.
CUtensorMap matrices_map(const Matrices& matrices, int count, int rows, int columns, int box_rows);

/// Multiprocessors of the current device.
int multiprocessors();

/// Throws Error{internal} unless the call's sizes are as its comment says.
void check_call(const Call& call);

/// The tile shape for `columns` results of a row over `depth`: the call's own, or the fastest.
TileShape choose(const Call& call, int columns, int depth);
TileShape choose_gradient(const Call& call);  ///< the same for weight gradients

/// One product: the operands that `maps` cannot hold before the tile is known.
struct Operands {
  const __nv_bfloat16* a[2];  ///< (rows, depth); the first is gathered where index is not null
  const std::int32_t* index;
  Matrices b[2];
  int depth, columns;  ///< of b: gated or not, the columns of one matrix
  int parts;           ///< pairs of operands whose products are added
};

template <class Shape, Weights weights>
Maps make_maps(const Call& call, const Operands& o) {
  Maps maps{};
  for (int i = 0; i < 2; ++i) {
    if (o.a[i] && !o.index) maps.a[i] = matrix_map(o.a[i], call.rows, o.depth, Shape::rows);
    if (!o.b[i].data) continue;
    maps.b[i] =
        weights == Weights::across
            ? matrices_map(o.b[i], call.experts, o.depth, o.columns, depth_step)
            : matrices_map(o.b[i], call.experts, o.columns, o.depth,
                           weights == Weights::along_two ? Shape::columns / 2 : Shape::columns / Shape::cluster);
  }
  return maps;
}

template <class Shape, Weights weights, class Epilogue>
void launch_shape(const Call& call, const Operands& o, const Epilogue& epilogue) {
  constexpr int channels = weights == Weights::along_two ? Shape::columns / 2 : Shape::columns;
  const int across = (o.columns + channels - 1) / channels;
  const Problem problem{{call.first, call.last, call.most},
                        call.experts,
                        across,
                        o.depth,
                        (o.depth + depth_step - 1) / depth_step,
                        o.parts,
                        o.index,
                        o.a[0],
                        call.hang};
  constexpr int rows = Shape::rows * Shape::cluster;
  const std::int64_t tiles = ((call.rows + rows - 1) / rows + call.experts) * across;
  expect(tiles < (std::int64_t{1} << 30), "fewer tiles");
  const int clusters = multiprocessors() / Shape::cluster;
  const int blocks = static_cast<int>(tiles < clusters ? tiles : clusters) * Shape::cluster;
  const auto kernel = product<Shape, weights, Epilogue>;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Shape::shared_bytes),
             "cudaFuncSetAttribute");
  kernel<<<blocks, threads, Shape::shared_bytes, call.stream>>>(make_maps<Shape, weights>(call, o), problem, epilogue);
  check_cuda(cudaGetLastError(), "launch of a product of experts");
}

/// Launches in the tile shape that choose() says.
template <Weights weights, class Epilogue>
void launch(const Call& call, const Operands& o, const Epilogue& epilogue) {
  check_call(call);
  if (call.rows == 0 || call.experts == 0) return;
  switch (choose(call, o.columns, o.depth * o.parts)) {
    case TileShape::tall:
      return launch_shape<Tall, weights>(call, o, epilogue);
    case TileShape::tall_pair:
      return launch_shape<TallPair, weights>(call, o, epilogue);
    case TileShape::flat_pair:
      return launch_shape<FlatPair, weights>(call, o, epilogue);
    case TileShape::square:
      return launch_shape<Square, weights>(call, o, epilogue);
    case TileShape::small:
      return launch_shape<Small, weights>(call, o, epilogue);
    default:
      return launch_shape<Flat, weights>(call, o, epilogue);
  }
}

}  // namespace switchyard::products::experts
