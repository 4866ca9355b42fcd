// The rows of the token embedding on a GPU: a pack of a row a thread. Segments of several rows are summed first, all at
// once, then the segments of an entry.
#include "model/embedding_rows.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/packs_cuda.hpp"

namespace switchyard::model {
namespace {

using gpu::element_block;
using gpu::pack;

template <bool whole, class T>
__global__ void __launch_bounds__(element_block)
    embedding_forward(Lines<T> weight, const std::int32_t* ids, float* x, gpu::PackGrid grid) {
  Index row;
  int c;
  if (!grid.find(row, c)) return;
  float v[pack];
  gpu::await_before();
  gpu::let_next_come();
  gpu::read<whole>(weight.row(ids[row]), c, grid.width, v);
  gpu::write<whole>(v, x + row * grid.width, c, grid.width);
}

/// Adds the rows of a segment to its first row. Four rows are read at a time, before any is added.
template <bool whole>
__global__ void __launch_bounds__(element_block) sum_segments(IndexPointers index, float* dx, gpu::PackGrid grid) {
  constexpr int at_once = 4;
  Index segment;
  int c;
  gpu::await_before();
  gpu::let_next_come();
  if (!grid.find(segment, c) || segment >= index.counts[1]) return;
  const int begin = index.segments[segment], end = index.segments[segment + 1], width = grid.width;
  if (end - begin < 2) return;
  float* first = dx + Index{index.positions[begin]} * width;
  float sum[pack];
  gpu::read<whole>(first, c, width, sum);
  for (float& value : sum) value += 0.0f;
  for (int p = begin + 1; p < end; p += at_once) {
    float v[at_once][pack];
#pragma unroll
    for (int j = 0; j < at_once; ++j)
      gpu::read<whole>(dx + Index{index.positions[p + j < end ? p + j : begin]} * width, c, width, v[j]);
#pragma unroll
    for (int j = 0; j < at_once; ++j)
      for (int l = 0; l < pack; ++l) sum[l] = p + j < end ? sum[l] + v[j][l] : sum[l];
  }
  gpu::write<whole>(sum, first, c, width);
}

/// Where the sum of a segment stands.
__device__ float* sum_of(const IndexPointers& index, Index segment, float* dx, int width) {
  return dx + Index{index.positions[index.segments[segment]]} * width;
}

/// Sums begin at +0: a segment of one row has not been added to it yet.
template <bool whole>
__global__ void __launch_bounds__(element_block)
    add_entries(IndexPointers index, float* dx, float* gradient, Index stride, gpu::PackGrid grid) {
  Index e;
  int c;
  gpu::await_before();
  gpu::let_next_come();
  if (!grid.find(e, c) || e >= index.counts[0]) return;
  const TokenIndex::Entry entry = index.entries[e];
  const Index end = index.entries[e + 1].adds;
  const int width = grid.width;
  float sum[pack], other[pack];
  for (Index a = entry.adds; a < end; ++a) {
    float* into = sum_of(index, index.into[a], dx, width);
    gpu::read<whole>(into, c, width, sum);
    gpu::read<whole>(sum_of(index, index.from[a], dx, width), c, width, other);
    for (int l = 0; l < pack; ++l) sum[l] = (sum[l] + 0.0f) + (other[l] + 0.0f);
    gpu::write<whole>(sum, into, c, width);
  }
  gpu::read<whole>(sum_of(index, entry.segments, dx, width), c, width, sum);
  for (float& value : sum) value += 0.0f;
  gpu::write<whole>(sum, gradient + entry.node * stride + Index{entry.token} * width, c, width);
}

}  // namespace

void embed(const Queue& queue, const Tensor& weight, const Vector<std::int32_t>& ids, const Tensor& x) {
  const gpu::PackGrid grid(x.rows, x.width);
  if (grid.count == 0) return;
  float* to = x.floats().data();
  by_element(weight.element, [&](auto zero) {
    using T = decltype(zero);
    gpu::by_packs(gpu::in_packs(weight) && gpu::in_packs(x), [&](auto whole) {
      gpu::launch(embedding_forward<decltype(whole)::value, T>, grid.blocks(), element_block, 0, gpu::stream_of(queue),
                  weight.lines<T>(), ids.data(), to, grid);
    });
  });
}

void sum_entries(const Queue& queue, const IndexPointers& index, const Tensor& dx, float* gradient, Index stride) {
  const gpu::PackGrid grid(index.most, dx.width);
  float* rows = dx.floats().data();
  const bool gradient_in_packs = reinterpret_cast<std::uintptr_t>(gradient) % 16 == 0 && stride % 4 == 0;
  gpu::by_packs(gpu::in_packs(dx) && gradient_in_packs, [&](auto whole) {
    constexpr bool in_packs = decltype(whole)::value;
    const cudaStream_t stream = gpu::stream_of(queue);
    gpu::launch(sum_segments<in_packs>, grid.blocks(), element_block, 0, stream, index, rows, grid);
    gpu::launch(add_entries<in_packs>, grid.blocks(), element_block, 0, stream, index, rows, gradient, stride, grid);
  });
}

}  // namespace switchyard::model
