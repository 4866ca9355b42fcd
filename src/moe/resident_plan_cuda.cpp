// Blocks of one cluster share the choices: each warp has a run of tokens of one piece, a chunk. It counts them by
// expert; counts become sums over the earlier chunks of the piece, in the block and then in the cluster; all blocks
// know all totals and from them where rows begin; and each warp ranks its choices. Integers: whatever the cut.
#include <cooperative_groups.h>

#include <algorithm>

#include "moe/resident_plan.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/packs_cuda.hpp"

namespace switchyard::moe {
namespace {

namespace cg = cooperative_groups;
using gpu::all_lanes;
using gpu::warp;

constexpr int threads = 1024, warps = threads / warp, most_blocks = 8;
constexpr int most_shared = 200 << 10;          ///< bytes
constexpr Index most_choices = Index{1} << 16;  ///< from which on several launches of many blocks are faster

/// How chunks are cut and where tables lie in shared memory; columns are experts, and one for what is none.
struct Chunks {
  int pieces, experts, of_piece;  ///< chunks of a piece
  Index piece_tokens, tokens;     ///< of a chunk, the last of a piece may have fewer or none
  __host__ __device__ int columns() const { return experts + 1; }
  __host__ __device__ int count() const { return pieces * of_piece; }
  /// Pieces that a block has chunks of, at most.
  __host__ __device__ int slots() const { return (warps - 2) / of_piece + 2; }
  __host__ __device__ int words() const { return (warps + slots() + pieces) * columns(); }
};

/// What a launch reads and writes.
struct Planned {
  Chunks cut;
  Index capacity;
  const std::int32_t *first, *expert;
  const std::uint8_t* kept;
  std::int32_t *total, *begins, *token, *row;
  Index* offsets;
};

/// Tables of a block.
struct Tables {
  std::int32_t* count;  ///< (warps, columns) of chunks, then those of the earlier ones of the piece in the block
  std::int32_t* part;   ///< (slots, columns) of the block
  std::int32_t* begin;  ///< (pieces, columns) totals, then first rows
};

__device__ inline int lane() { return static_cast<int>(threadIdx.x) % warp; }
__device__ inline int my_warp() { return static_cast<int>(threadIdx.x) / warp; }

/// The choices of a chunk and its piece.
struct Chunk {
  int piece;
  Index first_token, last_token, first, last;
};

__device__ Chunk chunk_of(const Planned& a, int chunk) {
  const Chunks& c = a.cut;
  if (chunk >= c.count()) return {0, 0, 0, 0, 0};
  const int piece = chunk / c.of_piece;
  const Index within = chunk % c.of_piece * c.tokens, begin = piece * c.piece_tokens;
  const Index from = begin + min(within, c.piece_tokens), to = begin + min(within + c.tokens, c.piece_tokens);
  return {piece, from, to, a.first[from], a.first[to]};
}

/// The column of choice i, or −1 of one that was dropped.
__device__ inline int column_of(const Planned& a, Index i) {
  if (i >= a.capacity) return a.cut.experts;
  const std::int32_t e = a.expert[i];
  if (e < 0 || e >= a.cut.experts) return a.cut.experts;
  return a.kept[i] ? e : -1;
}

__device__ void count_chunk(const Planned& a, const Chunk& chunk, std::int32_t* count) {
  for (Index i = chunk.first + lane(); i < chunk.last; i += warp) {
    const int column = column_of(a, i);
    if (column >= 0) atomicAdd(&count[column], 1);  // integers
  }
}

/// Counts of chunks become sums over the earlier ones of their piece in the block, and parts those of all: a warp a
/// column, a chunk a lane.
__device__ void sum_chunks(const Chunks& c, int first_chunk, const Tables& t) {
  const int chunk = first_chunk + lane(), piece = chunk / c.of_piece, begins = piece * c.of_piece - first_chunk;
  const bool ends = (chunk + 1) % c.of_piece == 0 || lane() == warp - 1;
  for (int column = my_warp(); column < c.columns(); column += warps) {
    std::int32_t* at = t.count + lane() * c.columns() + column;
    const std::int32_t own = *at;
    std::int32_t sum = own;
#pragma unroll
    for (int step = 1; step < warp; step *= 2) {
      const std::int32_t before = __shfl_up_sync(all_lanes, sum, step);
      if (lane() >= step && lane() - step >= begins) sum += before;
    }
    *at = sum - own;
    if (ends && chunk < c.count()) t.part[(piece - first_chunk / c.of_piece) * c.columns() + column] = sum;
  }
}

/// The choices of a piece in the blocks [first, last) of the cluster.
__device__ std::int32_t sum_parts(const Chunks& c, const Tables& t, int piece, int column, int first, int last) {
  std::int32_t sum = 0;
  for (int block = first; block < last; ++block) {
    const std::int32_t* part = cg::this_cluster().map_shared_rank(t.part, block);
    sum += part[(piece - block * warps / c.of_piece) * c.columns() + column];
  }
  return sum;
}

/// The totals of all pieces; the first block writes them.
__device__ void find_totals(const Planned& a, const Tables& t, bool writes) {
  const Chunks& c = a.cut;
  for (int i = static_cast<int>(threadIdx.x); i < c.pieces * c.columns(); i += threads) {
    const int piece = i / c.columns(), first = piece * c.of_piece;
    t.begin[i] = sum_parts(c, t, piece, i % c.columns(), first / warps, (first + c.of_piece - 1) / warps + 1);
    if (writes) a.total[i] = t.begin[i];
  }
}

/// Exclusive sum of one number a thread over the block, and that of all.
__device__ std::int32_t sum_before(std::int32_t value, std::int32_t& all) {
  __shared__ std::int32_t of_warp[warps];
  std::int32_t sum = value;
#pragma unroll
  for (int step = 1; step < warp; step *= 2) {
    const std::int32_t below = __shfl_up_sync(all_lanes, sum, step);
    if (lane() >= step) sum += below;
  }
  if (lane() == warp - 1) of_warp[my_warp()] = sum;
  __syncthreads();
  std::int32_t before = 0;
  all = 0;
  for (int w = 0; w < warps; ++w) {
    if (w < my_warp()) before += of_warp[w];
    all += of_warp[w];
  }
  return before + sum - value;
}

/// Totals become first rows, by expert, then piece; of the piece that earlier blocks have choices of, the first of this
/// block's. Returns the number of rows.
__device__ std::int32_t find_begins(const Planned& a, const Tables& t, int block) {
  const Chunks& c = a.cut;
  const int e = static_cast<int>(threadIdx.x), shared_piece = block * warps / c.of_piece;
  std::int32_t rows = 0, all = 0;
  for (int g = 0; e < c.experts && g < c.pieces; ++g) rows += t.begin[g * c.columns() + e];
  std::int32_t next = sum_before(rows, all);
  if (block == 0 && e < c.experts) a.offsets[e] = next;
  if (block == 0 && e == 0) a.offsets[c.experts] = all;
  for (int g = 0; e < c.experts && g < c.pieces; ++g) {
    std::int32_t& begin = t.begin[g * c.columns() + e];
    const std::int32_t here = begin;
    if (block == 0) a.begins[g * c.experts + e] = next;
    begin = next, next += here;
    if (g == shared_piece) begin += sum_parts(c, t, g, e, g * c.of_piece / warps, block);
  }
  return all;
}

/// The token of choice i of a chunk: as if all tokens had as many, or the last one whose choices begin at i or before.
__device__ Index token_of(const Planned& a, const Chunk& chunk, Index i) {
  const Index guess = chunk.first_token + static_cast<unsigned>(i - chunk.first) *
                                              static_cast<unsigned>(chunk.last_token - chunk.first_token) /
                                              static_cast<unsigned>(chunk.last - chunk.first);
  if (a.first[guess] <= i && i < a.first[guess + 1]) return guess;
  Index low = chunk.first_token, high = chunk.last_token;
  while (high - low > 1) {
    const Index middle = (low + high) / 2;
    (a.first[middle] <= i ? low : high) = middle;
  }
  return low;
}

/// Rows of the choices of a chunk, as many at a time as there are lanes.
__device__ void place_chunk(const Planned& a, const Chunk& chunk, const std::int32_t* begin, std::int32_t* count) {
  for (Index from = chunk.first; from < chunk.last; from += warp) {
    const Index i = from + lane();
    const bool there = i < chunk.last && i < a.capacity;
    const int column = there ? column_of(a, i) : -1;
    const bool counts = column >= 0 && column < a.cut.experts;
    const unsigned alike = __match_any_sync(all_lanes, counts ? column : -1);
    const unsigned below = alike & ((1u << lane()) - 1u);
    const std::int32_t row = counts ? begin[column] + count[column] + __popc(below) : -1;
    __syncwarp();
    if (counts && below == 0) count[column] += __popc(alike);
    __syncwarp();
    if (there) a.row[i] = row;
    if (counts) a.token[row] = static_cast<std::int32_t>(token_of(a, chunk, i));
  }
}

template <int blocks>
__global__ void __cluster_dims__(blocks, 1, 1) __launch_bounds__(threads) plan_rows(const __grid_constant__ Planned a) {
  extern __shared__ std::int32_t words[];
  const cg::cluster_group cluster = cg::this_cluster();
  const int block = static_cast<int>(blockIdx.x), columns = a.cut.columns(), first_chunk = block * warps;
  const Tables t{words, words + warps * columns, words + (warps + a.cut.slots()) * columns};
  for (int i = static_cast<int>(threadIdx.x); i < warps * columns; i += threads) t.count[i] = 0;
  gpu::await_before();
  gpu::let_next_come();
  __syncthreads();
  const Chunk chunk = chunk_of(a, first_chunk + my_warp());
  std::int32_t* mine = t.count + my_warp() * columns;
  count_chunk(a, chunk, mine);
  __syncthreads();
  sum_chunks(a.cut, first_chunk, t);
  cluster.sync();
  find_totals(a, t, block == 0);
  __syncthreads();
  const std::int32_t rows = find_begins(a, t, block);
  cluster.sync();  // so that no block leaves whose parts another reads
  place_chunk(a, chunk, t.begin + chunk.piece * columns, mine);
  for (Index row = rows + block * threads + threadIdx.x; row < a.capacity; row += blocks * threads) a.token[row] = 0;
}

Chunks cut_for(const Cut& cut, Index experts, int blocks) {
  const int pieces = static_cast<int>(cut.pieces), of_piece = blocks * warps / std::max(1, pieces);
  return {pieces, static_cast<int>(experts), of_piece, cut.piece_tokens,
          of_piece > 0 ? (cut.piece_tokens + of_piece - 1) / of_piece : 0};
}

/// Few blocks where there is little to share.
int blocks_for(Index choices) { return choices <= 1024 ? 1 : choices <= 4096 ? 4 : most_blocks; }

bool fits(const Chunks& c) {
  return c.of_piece > 0 && c.words() * static_cast<Index>(sizeof(std::int32_t)) <= most_shared;
}

template <int blocks>
void launch(cudaStream_t stream, const Planned& a) {
  static const cudaError_t allowed =
      cudaFuncSetAttribute(plan_rows<blocks>, cudaFuncAttributeMaxDynamicSharedMemorySize, most_shared);
  check_cuda(allowed, "cudaFuncSetAttribute");
  gpu::launch(plan_rows<blocks>, dim3(blocks), dim3(threads), a.cut.words() * sizeof(std::int32_t), stream, a);
}

}  // namespace

bool plans_at_once(const Cut& cut, const Choice& choice, Index experts) {
  return cut.tokens > 0 && cut.rounds == 1 && !cut.begins && experts <= threads && choice.capacity() <= most_choices &&
         fits(cut_for(cut, experts, blocks_for(choice.capacity())));
}

void plan_resident(const Queue& queue, const Cut& cut, const Choice& choice, const ResidentRows& ordered,
                   std::int32_t* row) {
  const int blocks = blocks_for(choice.capacity());
  const Planned a{cut_for(cut, static_cast<Index>(ordered.begins.extent(1)), blocks),
                  choice.capacity(),
                  choice.first.data(),
                  choice.expert.data(),
                  choice.kept.data(),
                  ordered.total.data(),
                  ordered.begins.data(),
                  ordered.token,
                  row,
                  ordered.offsets};
  const auto with = blocks == 1 ? launch<1> : blocks == 4 ? launch<4> : launch<most_blocks>;
  with(gpu::stream_of(queue), a);
}

}  // namespace switchyard::moe
