// RMSNorm on a GPU. A block works on a fixed number of rows of one grain, which it also sums for the weight; a second
// launch adds the blocks of a grain, grains and pieces.
#include <algorithm>

#include "nn/norm_rows.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/packs_cuda.hpp"

namespace switchyard::nn {
namespace {

using gpu::pack;
using gpu::row_block;

template <class T>
struct ForwardRows {
  const float *x, *weight;
  float epsilon;
  Lines<T> y;
  float *copy, *scale;
  Index rows;
  int width;
};

template <class Shape, bool whole, class T>
__global__ void __launch_bounds__(row_block) norm_forward(ForwardRows<T> a) {
  const Index row = Index{blockIdx.x} * Shape::rows + threadIdx.x / Shape::threads;
  const int width = row < a.rows ? a.width : 0;
  float x[Shape::packs][pack], sum = 0.0f;
  gpu::await_before();
  gpu::let_next_come();
#pragma unroll
  for (int k = 0; k < Shape::packs; ++k) gpu::read<whole>(a.x + row * a.width, Shape::column(k), width, x[k]);
#pragma unroll
  for (int k = 0; k < Shape::packs; ++k) {
    float square[pack];
    for (int l = 0; l < pack; ++l) square[l] = x[k][l] * x[k][l];
    sum += gpu::pack_tree(square);
  }
  sum = gpu::row_sum<Shape::threads, row_block>(sum, 0);
  const float scale = 1.0f / sqrtf(sum / static_cast<float>(a.width) + a.epsilon);
  if (width > 0 && threadIdx.x % Shape::threads == 0) a.scale[row] = scale;
#pragma unroll
  for (int k = 0; k < Shape::packs; ++k) {
    float weight[pack], y[pack];
    gpu::read<whole>(a.weight, Shape::column(k), width, weight);
    for (int l = 0; l < pack; ++l) y[l] = x[k][l] * scale * weight[l];
    gpu::write<whole>(y, a.y.row(row), Shape::column(k), width);
    if (a.copy) gpu::write<whole>(x[k], a.copy + row * a.width, Shape::column(k), width);
  }
}

/// Rows of a block, and blocks of a grain.
int rows_of_block(Index width) { return width <= 256 ? 16 : 32; }
int blocks_of_grain(const Rows& rows, Index width) {
  return static_cast<int>(gpu::blocks_for(rows.grain_rows, rows_of_block(width)));
}

template <class T>
struct BackwardRows {
  const float *x, *weight, *scale;
  Lines<T> dy;
  float* dx;
  Lines<Bf16> rounded;  // or no data
  float* partial;       // (grains, blocks of a grain, width)
  Index grain_rows;
  int width, block_rows, grain_blocks;
};

/// One row: dx += scale·(dy∘w) − x·scale³/d·Σ dy∘w∘x, and sum += dy·(x·scale).
template <class Shape, bool whole, class T>
__device__ void norm_backward_row(const BackwardRows<T>& a, Index row, int width, int turn,
                                  float (&sum)[Shape::packs][pack]) {
  float x[Shape::packs][pack], slope[Shape::packs][pack], dx[Shape::packs][pack], dot = 0.0f;
  const float scale = width > 0 ? a.scale[row] : 0.0f;
#pragma unroll
  for (int k = 0; k < Shape::packs; ++k) {
    const int c = Shape::column(k);
    gpu::read<whole>(a.x + row * a.width, c, width, x[k]);
    gpu::read<whole>(a.dy.row(row), c, width, slope[k]);
    gpu::read<whole>(a.dx + row * a.width, c, width, dx[k]);
  }
#pragma unroll
  for (int k = 0; k < Shape::packs; ++k) {
    float weight[pack], product[pack];
    gpu::read<whole>(a.weight, Shape::column(k), width, weight);
    for (int l = 0; l < pack; ++l) {
      sum[k][l] = fmaf(slope[k][l], x[k][l] * scale, sum[k][l]);
      slope[k][l] *= weight[l];
      product[l] = slope[k][l] * x[k][l];
    }
    dot += gpu::pack_tree(product);
  }
  dot = gpu::row_sum<Shape::threads, row_block>(dot, turn);
  const float along = -(scale * scale * scale) / static_cast<float>(a.width) * dot;
#pragma unroll
  for (int k = 0; k < Shape::packs; ++k) {
    for (int l = 0; l < pack; ++l) dx[k][l] += fmaf(x[k][l], along, slope[k][l] * scale);
    gpu::write<whole>(dx[k], a.dx + row * a.width, Shape::column(k), width);
    if (a.rounded.data) gpu::write<whole>(dx[k], a.rounded.row(row), Shape::column(k), width);
  }
}

/// partial(block, ·) = the sums of the threads that have a channel, in order.
template <class Shape, bool whole>
__device__ void write_partial(const float (&sum)[Shape::packs][pack], float* partial, int width) {
  if constexpr (Shape::rows == 1) {
#pragma unroll
    for (int k = 0; k < Shape::packs; ++k) gpu::write<whole>(sum[k], partial, Shape::column(k), width);
  } else {
    constexpr int columns = Shape::threads * pack;
    __shared__ alignas(16) float of_row[Shape::rows * columns];
    gpu::write<true>(sum[0], of_row + threadIdx.x / Shape::threads * columns, Shape::column(0), columns);
    __syncthreads();
    for (int c = static_cast<int>(threadIdx.x); c < width; c += row_block) {
      float all = of_row[c];
      for (int r = 1; r < Shape::rows; ++r) all += of_row[r * columns + c];
      partial[c] = all;
    }
  }
}

template <class Shape, bool whole, class T>
__global__ void __launch_bounds__(row_block) norm_backward(BackwardRows<T> a) {
  const Index grain = blockIdx.x / a.grain_blocks, end = (grain + 1) * a.grain_rows;
  const Index first = grain * a.grain_rows + Index{blockIdx.x % a.grain_blocks} * a.block_rows;
  const Index last = first + a.block_rows < end ? first + a.block_rows : end;
  float sum[Shape::packs][pack] = {};
  int turn = 0;
  gpu::await_before();
  gpu::let_next_come();
  for (Index at = first; at < last; at += Shape::rows, turn ^= 1) {
    const Index row = at + threadIdx.x / Shape::threads;
    norm_backward_row<Shape, whole>(a, row, row < last ? a.width : 0, turn, sum);
  }
  write_partial<Shape, whole>(sum, a.partial + Index{blockIdx.x} * a.width, a.width);
}

constexpr int max_nodes = 64;

/// What the second launch adds up.
struct Tree {
  float* partial;
  float* out;
  Index stride;
  int width, grains, grain_blocks, piece_grains, nodes;
  int first[max_nodes], size[max_nodes];  // pieces
  /// Channel c of grain g.
  __device__ float* at(Index g, Index c) const { return partial + g * grain_blocks * width + c; }
};

constexpr int columns = 32, adders = 32;  // of a block; several threads a channel
constexpr int parts = 4;                  // that the blocks of a grain are cut into

/// Channel c of each grain: its blocks, part by part.
__device__ void sum_grains(const Tree& a, Index c, bool in) {
  const int part = (a.grain_blocks + parts - 1) / parts, y = static_cast<int>(threadIdx.y);
  for (int u = y; in && u < a.grains * parts; u += adders) {
    const int first = u % parts * part, last = min(first + part, a.grain_blocks);
    if (first >= last) continue;
    float* block = a.at(u / parts, c) + Index{first} * a.width;
    float sum = block[0];
#pragma unroll 8
    for (int b = 1; b < last - first; ++b) sum += block[Index{b} * a.width];
    block[0] = sum;
  }
  __syncthreads();
  for (int g = y; in && g < a.grains; g += adders)
    for (int p = 1; p * part < a.grain_blocks; ++p) a.at(g, c)[0] += a.at(g, c)[Index{p} * part * a.width];
  __syncthreads();
}

/// Channel c of each node: the grains of a piece in order, pieces along the tree.
__device__ void sum_pieces(const Tree& a, Index c, bool in) {
  const int y = static_cast<int>(threadIdx.y), pieces = a.grains / a.piece_grains;
  for (int p = y; in && p < pieces; p += adders)
    for (int g = 1; g < a.piece_grains; ++g)
      a.at(Index{p} * a.piece_grains, c)[0] += a.at(Index{p} * a.piece_grains + g, c)[0];
  __syncthreads();
  for (int t = 0; t < a.nodes; ++t) {
    for (int step = 1; step < a.size[t]; step *= 2) {
      for (int i = 2 * step * y; in && i + step < a.size[t]; i += 2 * step * adders)
        a.at(Index{a.first[t] + i} * a.piece_grains, c)[0] += a.at(Index{a.first[t] + i + step} * a.piece_grains, c)[0];
      __syncthreads();
    }
    if (in && y == 0) a.out[t * a.stride + c] = a.at(Index{a.first[t]} * a.piece_grains, c)[0];
  }
}

__global__ void __launch_bounds__(columns* adders) norm_tree(Tree a) {
  const Index c = Index{blockIdx.x} * columns + threadIdx.x;
  gpu::await_before();
  gpu::let_next_come();
  sum_grains(a, c, c < a.width);
  sum_pieces(a, c, c < a.width);
}

}  // namespace

void sum_partials(const Queue& queue, const Rows& lane, const Matrix<float>& partial, const NormSums& sums) {
  const int width = static_cast<int>(partial.extent(1)), nodes = static_cast<int>(lane.nodes.size());
  expect(nodes <= max_nodes, "as many nodes as a range of grains is cut into");
  Tree tree{partial.data(),    sums.data, sums.stride, width, lane.grain_count(), blocks_of_grain(lane, width),
            lane.piece_grains, nodes,     {},          {}};
  for (int t = 0; t < nodes; ++t) {
    tree.first[t] = lane.nodes[t].first - lane.nodes[0].first;
    tree.size[t] = lane.nodes[t].size;
  }
  gpu::launch(norm_tree, gpu::blocks_for(width, columns), dim3(columns, adders), 0, gpu::stream_of(queue), tree);
}

Index norm_partials(const Rows& rows, Index width) {
  return Index{rows.grain_count()} * (rows.count > 0 ? blocks_of_grain(rows, width) : 1);
}

void normalise(const Queue& queue, const NormForward& rows) {
  const bool whole = gpu::in_packs(rows.x) && gpu::in_packs(rows.y) && gpu::in_packs(rows.copy) &&
                     reinterpret_cast<std::uintptr_t>(rows.weight) % 16 == 0;
  by_element(rows.y.element, [&](auto zero) {
    using T = decltype(zero);
    const ForwardRows<T> a{rows.x.floats().data(),
                           rows.weight,
                           rows.epsilon,
                           rows.y.lines<T>(),
                           rows.copy ? rows.copy.floats().data() : nullptr,
                           rows.scale,
                           rows.x.rows,
                           static_cast<int>(rows.x.width)};
    gpu::by_shape(rows.x.width, whole, [&](auto shape, auto in_packs) {
      using Shape = decltype(shape);
      gpu::launch(norm_forward<Shape, decltype(in_packs)::value, T>, gpu::blocks_for(a.rows, Shape::rows), row_block, 0,
                  gpu::stream_of(queue), a);
    });
  });
}

void denormalise(const Queue& queue, const Rows& lane, const NormBackward& rows) {
  const Index width = rows.x.width;
  const Tensor &dx = rows.d.sum, &rounded = rows.d.rounded;
  const bool whole = gpu::in_packs(rows.x) && gpu::in_packs(rows.dy) && gpu::in_packs(dx) && gpu::in_packs(rounded) &&
                     reinterpret_cast<std::uintptr_t>(rows.weight) % 16 == 0;
  const int blocks = blocks_of_grain(lane, width);
  by_element(rows.dy.element, [&](auto zero) {
    using T = decltype(zero);
    const BackwardRows<T> a{rows.x.floats().data(),
                            rows.weight,
                            rows.scale,
                            rows.dy.lines<T>(),
                            dx.floats().data(),
                            rounded.element == Element::bf16 ? rounded.lines<Bf16>() : Lines<Bf16>{nullptr, 0},
                            rows.partial.data(),
                            lane.grain_rows,
                            static_cast<int>(width),
                            rows_of_block(width),
                            blocks};
    gpu::by_shape(width, whole, [&](auto shape, auto in_packs) {
      gpu::launch(norm_backward<decltype(shape), decltype(in_packs)::value, T>,
                  static_cast<unsigned>(lane.grain_count() * blocks), row_block, 0, gpu::stream_of(queue), a);
    });
  });
}

}  // namespace switchyard::nn
