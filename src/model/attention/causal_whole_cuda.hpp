// Causal attention of bfloat16 for short contexts: a thread block has all rows of a head that it needs in shared
// memory, loaded and rotated behind one barrier; every warp then takes 16 rows past all that they see, waiting for no
// other.
#pragma once
#include "model/attention/causal_forward_cuda.hpp"

namespace switchyard::model::causal {

constexpr int strip = 16;  ///< rows of a warp

/// How the strips of a head are spread over thread blocks: in pairs, one from the beginning of the context and one from
/// its end, so that thread blocks and the quarters of a multiprocessor have equal work. A strip's bits do not depend on
/// the spread.
struct Spread {
  int strips, pairs;  // of a head, of a thread block
  __host__ __device__ Spread(int context, int pairs_of_block)
      : strips((context + strip - 1) / strip), pairs(pairs_of_block) {}
  /// Thread blocks of a head.
  __host__ int parts() const { return ((strips + 1) / 2 + pairs - 1) / pairs; }
  /// The first row of a slot: slots [0, pairs) are of the beginning, [pairs, 2·pairs) of the end; −1 where none is
  /// left.
  __device__ int first_row(int part, int slot) const {
    const bool last = slot >= pairs;
    const int pair = part * pairs + slot - (last ? pairs : 0);
    if (2 * pair + last >= strips) return -1;
    return strip * (last ? strips - 1 - pair : pair);
  }
  /// Rows [first_needed, …) see a part's keys, rows [0, end_needed) are seen by its queries.
  __device__ int first_needed(int part) const { return part * pairs * strip; }
  __device__ int end_needed(int part) const { return (strips - part * pairs) * strip; }
};

__host__ __device__ constexpr int round_to(int n, int unit) { return (n + unit - 1) / unit * unit; }

/// Of a grid (sequences, heads, parts of a head): nothing is to be divided.
struct WholePlace {
  int part, head, sequence;
  __device__ WholePlace()
      : part(static_cast<int>(blockIdx.z)),
        head(static_cast<int>(blockIdx.y)),
        sequence(static_cast<int>(blockIdx.x)) {}
};

/// The rows of one head of one sequence, few enough that 32 bits count their elements.
struct FewRows {
  Bf16* data;
  int stride;

  __device__ FewRows(const Problem<Bf16>& p, const Strided<Bf16>& all, int sequence, int head)
      : data(all.data + (Index{sequence * p.shape.context} * static_cast<int>(all.stride) + head * p.shape.head_dim)),
        stride(static_cast<int>(all.stride)) {}
  __device__ Bf16* at(int row, int channel) const { return data + (row * stride + channel); }
};

/// Chunk i of the lower half of a row's channels and its partner.
struct ChunkPair {
  uint4 a, b;

  template <int width>
  static __device__ ChunkPair read(const FewRows& from, int row, int i) {
    const auto* at = reinterpret_cast<const uint4*>(from.at(row, i * 8));
    return {at[0], at[width / 16]};
  }
  template <int width>
  __device__ void write(uint4* tile, int row, int i) const {
    tile[Tile<width>::chunk(row, i)] = a;
    tile[Tile<width>::chunk(row, i + width / 16)] = b;
  }
  /// Whether anything was not finite; that becomes 0.
  __device__ bool guard() {
    std::uint32_t zeros = 0;
    for (const std::uint32_t pair : {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}) add_none_of(zeros, pair);
    if ((zeros & 0x7FFF7FFFu) == 0) return false;
    clear_chunk(a), clear_chunk(b);
    return true;
  }
};

/// Cosines and sines of eight channels of a row.
struct ChunkAngles {
  float4 c[2], s[2];

  template <int width>
  __device__ void read(const Problem<Bf16>& p, int row, int i) {
    const int angle = row * (width / 2) + i * 8;
    for (int h = 0; h < 2; ++h) {
      c[h] = __ldg(reinterpret_cast<const float4*>(p.cosine + angle) + h);
      s[h] = __ldg(reinterpret_cast<const float4*>(p.sine + angle) + h);
    }
  }
  __device__ void turn(ChunkPair& x) const {
    turn_pairs(x.a.x, x.b.x, {c[0].x, c[0].y}, {s[0].x, s[0].y});
    turn_pairs(x.a.y, x.b.y, {c[0].z, c[0].w}, {s[0].z, s[0].w});
    turn_pairs(x.a.z, x.b.z, {c[1].x, c[1].y}, {s[1].x, s[1].y});
    turn_pairs(x.a.w, x.b.w, {c[1].z, c[1].w}, {s[1].z, s[1].w});
  }
};

/// A strip as the left operand, kept in registers.
template <int width>
struct Held {
  std::uint32_t part[width / 16][4];

  __device__ explicit Held(const Parts<width>& from) {
#pragma unroll
    for (int k = 0; k < width / 16; ++k) load_matrices(part[k], from.at(0, k));
  }
  __device__ void read(std::uint32_t (&to)[4], int k) const {
    for (int i = 0; i < 4; ++i) to[i] = part[k][i];
  }
};
/// The same, read where it is used.
template <int width>
struct Reread {
  Parts<width> from;

  __device__ explicit Reread(const Parts<width>& parts) : from(parts) {}
  __device__ void read(std::uint32_t (&to)[4], int k) const { load_matrices(to, from.at(0, k)); }
};

/// Values become `masked` where `hidden(row, column)` of the warp's 16 rows; columns count from 0.
template <int n, class F>
__device__ void mask_where(float (&values)[n][4], float masked, const F& hidden) {
  const int row = threadIdx.x % 32 / 4, column = threadIdx.x % 4 * 2;
#pragma unroll
  for (int j = 0; j < n; ++j)
    for (int e = 0; e < 4; ++e)
      if (hidden(row + e / 2 * 8, column + j * 8 + e % 2)) values[j][e] = masked;
}

}  // namespace switchyard::model::causal
