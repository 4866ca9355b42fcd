// The gradients of combine on a GPU: a warp for every strand of a token's choices, or a pack of a row a thread.
#include <algorithm>

#include "moe/rows.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/packs_cuda.hpp"

namespace switchyard::moe::rows {
namespace {

using gpu::element_block;
using gpu::pack;

template <class T>
struct Products {
  Choices choices;
  Lines<float> dy;
  Lines<T> rows;
  float* dweight;
  Index strands;
  int width;
};

/// <dy, row> by a warp: pack k of a row in thread k mod 32.
template <bool whole, class T>
__device__ float warp_dot(const float* dy, const T* row, int width) {
  float sum = 0.0f;
#pragma unroll 4
  for (int c = static_cast<int>(threadIdx.x % gpu::warp) * pack; c < width; c += gpu::warp * pack) {
    float a[pack], b[pack];
    gpu::read<whole>(dy, c, width, a);
    gpu::read<whole>(row, c, width, b);
    for (int l = 0; l < pack; ++l) a[l] *= b[l];
    sum += gpu::pack_tree(a);
  }
  return gpu::row_sum<gpu::warp, element_block>(sum, 0);
}

/// A warp for every strand of a token's choices.
template <bool whole, class T>
__global__ void __launch_bounds__(element_block) weight_products(Products<T> a) {
  const Index strand = (Index{blockIdx.x} * element_block + threadIdx.x) / gpu::warp, token = strand / a.strands;
  if (token >= a.choices.tokens) return;
  const Index end = a.choices.first[token + 1];
  for (Index i = a.choices.first[token] + strand % a.strands; i < end; i += a.strands) {
    const Index row = a.choices.row[i];
    const float dot = row < 0 ? 0.0f : warp_dot<whole>(a.dy.row(token), a.rows.row(row), a.width);
    if (threadIdx.x % gpu::warp == 0) a.dweight[i] = dot;
  }
}

template <class T>
struct Both {
  Products<T> products;
  const float* weight;
  Lines<T> gradient;
};

/// <dy, row> by a warp as warp_dot has it, and gradient = weight · dy, which may lie where the row does: packs are read
/// some at a time, before any is written.
template <bool whole, class T>
__device__ float scale_and_dot(const float* dy, const T* row, float weight, T* gradient, int width) {
  constexpr int at_once = 4, step = gpu::warp * pack;
  float sum = 0.0f;
  for (int first = static_cast<int>(threadIdx.x % gpu::warp) * pack; first < width; first += at_once * step) {
    float a[at_once][pack], b[at_once][pack];
#pragma unroll
    for (int j = 0; j < at_once; ++j) {
      gpu::read<whole>(dy, first + j * step, width, a[j]);
      gpu::read<whole>(row, first + j * step, width, b[j]);
    }
#pragma unroll
    for (int j = 0; j < at_once; ++j) {
      if (first + j * step >= width) break;
      for (int l = 0; l < pack; ++l) b[j][l] *= a[j][l], a[j][l] *= weight;
      sum += gpu::pack_tree(b[j]);
      gpu::write<whole>(a[j], gradient, first + j * step, width);
    }
  }
  return gpu::row_sum<gpu::warp, element_block>(sum, 0);
}

/// Both gradients, a warp for every strand of a token's choices.
template <bool whole, class T>
__global__ void __launch_bounds__(element_block) weight_products_and_scaled_rows(Both<T> both) {
  const Products<T>& a = both.products;
  const Index strand = (Index{blockIdx.x} * element_block + threadIdx.x) / gpu::warp, token = strand / a.strands;
  if (token >= a.choices.tokens) return;
  gpu::await_before();
  gpu::let_next_come();
  const Index end = a.choices.first[token + 1];
  for (Index i = a.choices.first[token] + strand % a.strands; i < end; i += a.strands) {
    const Index row = a.choices.row[i];
    const float dot = row < 0 ? 0.0f
                              : scale_and_dot<whole>(a.dy.row(token), a.rows.row(row), both.weight[i],
                                                     both.gradient.row(row), a.width);
    if (threadIdx.x % gpu::warp == 0) a.dweight[i] = dot;
  }
}

template <bool whole, class T>
__global__ void __launch_bounds__(element_block)
    scaled_rows(Choices choices, const float* weight, Lines<float> dy, Lines<T> gradient, gpu::PackGrid grid) {
  Index token;
  int c;
  if (!grid.find(token, c)) return;
  float v[pack];
  gpu::read<whole>(dy.row(token), c, grid.width, v);
  const Index end = choices.first[token + 1];
  for (Index i = choices.first[token]; i < end; ++i) {
    const Index row = choices.row[i];
    if (row < 0) continue;
    float scaled[pack];
    for (int l = 0; l < pack; ++l) scaled[l] = weight[i] * v[l];
    gpu::write<whole>(scaled, gradient.row(row), c, grid.width);
  }
}

}  // namespace

void weight_gradients(const Queue& queue, const Choices& choices, const Tensor& dy, const Tensor& rows,
                      float* dweight) {
  if (choices.tokens == 0) return;
  const Index strands = std::max<Index>(1, choices.capacity / choices.tokens);
  by_element(rows.element, [&](auto zero) {
    using T = decltype(zero);
    gpu::by_packs(gpu::in_packs(rows) && gpu::in_packs(dy), [&](auto whole) {
      weight_products<decltype(whole)::value, T><<<gpu::blocks_for(choices.tokens * strands * gpu::warp, element_block),
                                                   element_block, 0, gpu::stream_of(queue)>>>(
          {choices, dy.lines<float>(), rows.lines<T>(), dweight, strands, static_cast<int>(dy.width)});
    });
  });
  gpu::check_launch("weight_products");
}

void row_gradients(const Queue& queue, const Choices& choices, const float* weight, const Tensor& dy,
                   const Tensor& gradient) {
  const gpu::PackGrid grid(choices.tokens, dy.width);
  if (grid.count == 0) return;
  by_element(gradient.element, [&](auto zero) {
    using T = decltype(zero);
    gpu::by_packs(gpu::in_packs(gradient) && gpu::in_packs(dy), [&](auto whole) {
      scaled_rows<decltype(whole)::value, T><<<grid.blocks(), element_block, 0, gpu::stream_of(queue)>>>(
          choices, weight, dy.lines<float>(), gradient.lines<T>(), grid);
    });
  });
  gpu::check_launch("scaled_rows");
}

void gradients(const Queue& queue, const Choices& choices, const Gradients& g) {
  if (g.rows.element != g.gradient.element || g.dy.width == 0) {
    weight_gradients(queue, choices, g.dy, g.rows, g.dweight);
    return row_gradients(queue, choices, g.weight, g.dy, g.gradient);
  }
  if (choices.tokens == 0) return;
  const Index strands = std::max<Index>(1, choices.capacity / choices.tokens);
  by_element(g.rows.element, [&](auto zero) {
    using T = decltype(zero);
    gpu::by_packs(gpu::in_packs(g.rows) && gpu::in_packs(g.dy) && gpu::in_packs(g.gradient), [&](auto whole) {
      const Products<T> products{choices, g.dy.lines<float>(),         g.rows.lines<T>(), g.dweight,
                                 strands, static_cast<int>(g.dy.width)};
      gpu::launch(weight_products_and_scaled_rows<decltype(whole)::value, T>,
                  dim3(gpu::blocks_for(choices.tokens * strands * gpu::warp, element_block)), dim3(element_block), 0,
                  gpu::stream_of(queue), Both<T>{products, g.weight, g.gradient.lines<T>()});
    });
  });
}

}  // namespace switchyard::moe::rows
