// Causal attention on a GPU: what kernels are given, and one head of one sequence as they read and write it.
#pragma once
#include "model/attention/causal.hpp"
#include "tensor/mma_cuda.hpp"

namespace switchyard::model::causal {

constexpr int block = 64;        ///< queries, and keys, that a thread block of the bfloat16 kernels works at a time
constexpr int unseen = 1 << 30;  ///< after every token

/// Rows of all tokens, heads beside each other. `turn`: they are rotated where they are loaded.
template <class T>
struct Strided {
  T* data = nullptr;
  Index stride = 0;
  bool turn = false;
};

/// What kernels are given, plain pointers to device memory; shapes as in causal.hpp.
template <class T>
struct Problem {
  AttentionShape shape;
  Strided<T> q, k, v, out;
  float* log_sum;       // (heads, N)
  const float* cosine;  // (T, D/2)
  const float* sine;
  float scale;   // of scores
  bool vectors;  // 16 bytes at a time: D is the padded width, and everything is aligned
  __host__ __device__ int group() const { return alone() ? 1 : shape.heads / shape.kv_heads; }
  /// Whether every query head has keys of its own: then nothing need be divided, which takes a GPU a while.
  __host__ __device__ bool alone() const { return shape.heads == shape.kv_heads; }
  __device__ int key_head(int head) const { return alone() ? head : head / group(); }
  __host__ __device__ Index rows() const { return shape.sequences * shape.context; }
  __host__ __device__ int blocks(int size) const { return (shape.context + size - 1) / size; }
};

/// Gradients, shaped as their values, and Σ dout·out of every query (heads, N).
template <class T>
struct Gradients {
  Strided<T> out, q, k, v;
  float* delta;
};

/// Block `part` of a head of a sequence, of a grid where parts vary first and sequences last.
struct Place {
  int part, head;
  Index sequence;
  __device__ Place(int parts, int heads)
      : part(static_cast<int>(blockIdx.x) % parts),
        head(static_cast<int>(blockIdx.x) / parts % heads),
        sequence(static_cast<int>(blockIdx.x) / parts / heads) {}
  /// Parts from the last to the first: those that see most begin first.
  static __device__ Place from_last(int parts, int heads) {
    Place at(parts, heads);
    at.part = parts - 1 - at.part;
    return at;
  }
};

/// The rows of one head of one sequence, row 0 its first token.
template <class T>
struct HeadRows {
  T* data;
  Index stride;
  const float *cosine, *sine;
  int dim, end;  // D, T
  bool turn, vectors;

  __device__ HeadRows(const Problem<T>& p, const Strided<T>& all, Index sequence, int head)
      : data(all.data + sequence * p.shape.context * all.stride + head * p.shape.head_dim),
        stride(all.stride),
        cosine(p.cosine),
        sine(p.sine),
        dim(p.shape.head_dim),
        end(p.shape.context),
        turn(all.turn),
        vectors(p.vectors) {}
  __device__ T* at(int row, int channel) const { return data + row * stride + channel; }
  /// Channel as the kernel needs it: rotated if it is to be, 0 outside.
  __device__ float value(int row, int channel) const {
    if (row >= end || channel >= dim) return 0.0f;
    const float x = load(*at(row, channel));
    if (!turn) return x;
    const int half = dim / 2, i = channel < half ? channel : channel - half;
    const float c = cosine[Index{row} * half + i], s = sine[Index{row} * half + i];
    if (channel < half) return __fmaf_rn(-load(*at(row, channel + half)), s, x * c);
    return __fmaf_rn(load(*at(row, channel - half)), s, x * c);
  }
};

/// log_sum or delta of the tokens of one head of a sequence.
template <class T>
__device__ inline Index statistic(const Problem<T>& p, Index sequence, int head) {
  return head * p.rows() + sequence * p.shape.context;
}

/// Turns channels a = x[i] and b = x[i + D/2] of a gradient back.
__device__ inline void turn_back(float& a, float& b, float c, float s) {
  const float x = a;
  a = __fmaf_rn(b, s, x * c);
  b = __fmaf_rn(-x, s, b * c);
}

/// Floats between two rows of a result that stands in shared memory: 8 more, so that the lanes of a product meet
/// different banks.
template <int width>
constexpr int staged = width + 8;

/// Rows [first, first + rows) of a head from floats in shared memory (rows, staged<width>), turned back if the head
/// `turn`s, rounded once. All threads.
template <int width, int rows, class T>
__device__ void write_rows(const float* from, const HeadRows<T>& to, int first) {
  const int half = to.dim / 2, count = min(rows, to.end - first);
  for (int it = threadIdx.x; it < count * half; it += blockDim.x) {
    const int r = it / half, i = it % half;
    float a = from[r * staged<width> + i], b = from[r * staged<width> + i + half];
    const Index angle = Index{first + r} * half + i;
    if (to.turn) turn_back(a, b, to.cosine[angle], to.sine[angle]);
    store(a, *to.at(first + r, i));
    store(b, *to.at(first + r, i + half));
  }
}

/// Eight floats rounded, as 16 bytes.
__device__ inline uint4 pack_chunk(const float (&x)[8]) {
  return {pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(x[4], x[5]), pack_bf16(x[6], x[7])};
}
__device__ inline void read_chunk(float (&to)[8], const float* from) {
  const float4 low = reinterpret_cast<const float4*>(from)[0], high = reinterpret_cast<const float4*>(from)[1];
  to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
  to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
}

/// The same, 16 bytes at a time.
template <int width, int rows>
__device__ void write_vectors(const float* from, const HeadRows<Bf16>& to, int first) {
  constexpr int half = width / 2, chunks = half / 8;
  for (int it = threadIdx.x; it < rows * chunks; it += blockDim.x) {
    const int r = it / chunks, i = it % chunks * 8;
    if (first + r >= to.end) return;
    float a[8], b[8], c[8], s[8];
    read_chunk(a, from + r * staged<width> + i);
    read_chunk(b, from + r * staged<width> + i + half);
    if (to.turn) {
      const Index angle = Index{first + r} * half + i;
      read_chunk(c, to.cosine + angle);
      read_chunk(s, to.sine + angle);
      for (int e = 0; e < 8; ++e) turn_back(a[e], b[e], c[e], s[e]);
    }
    *reinterpret_cast<uint4*>(to.at(first + r, i)) = pack_chunk(a);
    *reinterpret_cast<uint4*>(to.at(first + r, i + half)) = pack_chunk(b);
  }
}

}  // namespace switchyard::model::causal
