// Launches of causal attention of bfloat16.
#include "model/attention/causal_backward_cuda.hpp"
#include "model/attention/causal_launch_cuda.hpp"
#include "model/attention/causal_whole_backward_cuda.hpp"
#include "model/attention/causal_whole_forward_cuda.hpp"
#include "model/attention/causal_wide_backward_cuda.hpp"

namespace switchyard::model::causal {

/// Rows to be rotated, and where the copies go, rows one after another.
struct Turn {
  Strided<Bf16> from;
  Bf16* to;
  int heads;
};

/// Eight channels and their partners a thread.
__global__ void turn_rows(Problem<Bf16> p, Turn q, Turn k) {
  gpu::await_before();
  gpu::let_next_come();
  const int half = p.shape.head_dim / 2, chunks = half / 8;
  const Index of_q = p.rows() * q.heads * chunks, it = Index{blockIdx.x} * blockDim.x + threadIdx.x;
  if (it >= of_q + p.rows() * k.heads * chunks) return;
  const Turn& by = it < of_q ? q : k;
  const Index own = it < of_q ? it : it - of_q, row = own / (by.heads * chunks);
  const int head = static_cast<int>(own / chunks % by.heads), i = static_cast<int>(own % chunks) * 8;
  const Index column = head * p.shape.head_dim + i, angle = row % p.shape.context * half + i;
  const Bf16* from = by.from.data + row * by.from.stride + column;
  Bf16* to = by.to + row * by.heads * p.shape.head_dim + column;
  uint4 a = *reinterpret_cast<const uint4*>(from), b = *reinterpret_cast<const uint4*>(from + half);
  turn_chunks(a, b, p.cosine + angle, p.sine + angle);
  *reinterpret_cast<uint4*>(to) = a;
  *reinterpret_cast<uint4*>(to + half) = b;
}

/// Rotated copies of k, and of q if `both`, instead of what a problem reads.
Problem<Bf16> turn_ahead(cudaStream_t stream, const Problem<Bf16>& p, const Rotated& memory, bool both) {
  if (!p.k.turn || !p.vectors || !rotates_ahead(p.shape)) return p;
  const Turn q{p.q, memory.q, both ? p.shape.heads : 0}, k{p.k, memory.k, p.shape.kv_heads};
  const Index items = p.rows() * (q.heads + k.heads) * (p.shape.head_dim / 16);
  launch<turn_rows>(stream, (items + 255) / 256, 256, 0, p, q, k);
  Problem<Bf16> turned = p;
  turned.k = {memory.k, Index{k.heads} * p.shape.head_dim, false};
  if (both) turned.q = {memory.q, Index{q.heads} * p.shape.head_dim, false};
  return turned;
}

/// Whether the kernels of two warpgroups serve a problem, which then is turned ahead.
bool is_wide(const Problem<Bf16>& p) {
  return p.vectors && rotates_ahead(p.shape) && (p.shape.head_dim == 64 || p.shape.head_dim == 128);
}

/// Blocks of so many rows, of all heads.
Index blocks_of(const Problem<Bf16>& p, int heads, int rows) { return p.shape.sequences * heads * p.blocks(rows); }

/// How the kernels for short contexts are cut, which says their bits: keys of a step, warps that share a strip.
template <int width>
constexpr int whole_step = width > 64 ? 32 : 64;
template <int width>
constexpr int whole_ways = width > 64 ? 1 : 2;
template <int width>
constexpr int whole_pairs = width > 64 ? 2 : 4;  ///< of strips, backward, at most
constexpr int whole_back_step = 32;              ///< keys, or queries

/// Calls f<width>() and tells so if a context is short enough for the kernels that hold it whole, of so many bytes.
template <class F, class B>
bool if_whole(const Problem<Bf16>& p, const B& bytes, const F& f) {
  if (!p.vectors || p.shape.context > 512 || p.shape.head_dim == 96 || p.shape.head_dim > 128) return false;
  bool fits = false;
  by_width<16, 32, 64, 128>(p.shape.head_dim, [&]<int width>() {
    fits = bytes.template operator()<width>() <= most_shared;
    if (fits) f.template operator()<width>();
  });
  return fits;
}

/// Pairs of strips that a thread block takes, at most `most`: fewer where there are none left or multiprocessors would
/// stand idle. No bit depends on it.
int pairs_for(const Problem<Bf16>& p, int heads, int most) {
  static const int processors = [] {
    int device = 0, count = 0;
    check_cuda(cudaGetDevice(&device), "cudaGetDevice");
    check_cuda(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
    return count;
  }();
  const auto too_many = [&](int pairs) {
    const int parts = Spread(p.shape.context, pairs).parts();
    return parts == Spread(p.shape.context, pairs / 2).parts() ||
           4 * p.shape.sequences * heads * parts < 3 * processors;
  };
  int pairs = most;
  while (pairs > 1 && too_many(pairs)) pairs /= 2;
  return pairs;
}

dim3 whole_grid(const Problem<Bf16>& p, int heads, int pairs) {
  return {static_cast<unsigned>(p.shape.sequences), static_cast<unsigned>(heads),
          static_cast<unsigned>(Spread(p.shape.context, pairs).parts())};
}

bool launch_whole_outputs(cudaStream_t stream, const Problem<Bf16>& p) {
  const int pairs = pairs_for(p, p.shape.heads, 4);
  const auto bytes = [&]<int width>() {
    return WholeForward<width, whole_ways<width>, whole_step<width>>::bytes(p.shape.context, pairs);
  };
  return if_whole(p, bytes, [&]<int width>() {
    constexpr int ways = whole_ways<width>;
    launch<forward_whole<width, ways, whole_step<width>>>(stream, whole_grid(p, p.shape.heads, pairs),
                                                          64 * ways * pairs, bytes.template operator()<width>(), p);
  });
}

bool launch_whole_gradients(cudaStream_t stream, const Problem<Bf16>& p, const Gradients<Bf16>& g) {
  const auto bytes = [&]<int width>() { return WholeBackward<width, whole_back_step>::bytes(p.shape.context); };
  return if_whole(p, bytes, [&]<int width>() {
    constexpr int most = whole_pairs<width>;
    const int pairs = pairs_for(p, p.shape.kv_heads, most);
    launch<backward_whole<width, whole_back_step, 128 * most>>(stream, whole_grid(p, p.shape.kv_heads, pairs),
                                                               128 * pairs, bytes.template operator()<width>(), p, g);
  });
}

void launch_outputs(cudaStream_t stream, const Problem<Bf16>& p) {
  if (launch_whole_outputs(stream, p)) return;
  if (is_wide(p))
    return by_width<64, 128>(p.shape.head_dim, [&]<int width>() {
      launch<forward_wide<width, 2>>(stream, blocks_of(p, p.shape.heads, wide), wide_threads,
                                     WideForward<width, 2>::bytes, p);
    });
  by_width<16, 32, 64, 96, 128, 256>(p.shape.head_dim, [&]<int width>() {
    launch<forward<width>>(stream, blocks_of(p, p.shape.heads, block), warps_threads, Forward<width>::bytes, p);
  });
}

void launch_forward(cudaStream_t stream, const Problem<Bf16>& problem, const Rotated& memory) {
  launch_outputs(stream, turn_ahead(stream, problem, memory, false));
}

/// Gradients of queries, with delta; then of keys and values.
void launch_queries(cudaStream_t stream, const Problem<Bf16>& p, const Gradients<Bf16>& g) {
  if (is_wide(p))
    return by_width<64, 128>(p.shape.head_dim, [&]<int width>() {
      launch<backward_queries_wide<width>>(stream, blocks_of(p, p.shape.heads, wide), wide_threads,
                                           WideBackwardQueries<width>::bytes, p, g);
    });
  by_width<16, 32, 64, 96, 128, 256>(p.shape.head_dim, [&]<int width>() {
    launch<backward_queries<width>>(stream, blocks_of(p, p.shape.heads, block), warps_threads,
                                    BackwardQueries<width>::bytes, p, g);
  });
}
void launch_keys(cudaStream_t stream, const Problem<Bf16>& p, const Gradients<Bf16>& g) {
  if (is_wide(p))
    return by_width<64, 128>(p.shape.head_dim, [&]<int width>() {
      launch<backward_keys_wide<width>>(stream, blocks_of(p, p.shape.kv_heads, wide), wide_threads,
                                        WideBackwardKeys<width>::bytes, p, g);
    });
  by_width<16, 32, 64, 96, 128, 256>(p.shape.head_dim, [&]<int width>() {
    launch<backward_keys<width>>(stream, blocks_of(p, p.shape.kv_heads, block), warps_threads * key_sets<width>,
                                 BackwardKeys<width>::bytes, p, g);
  });
}

void launch_backward(cudaStream_t stream, const Problem<Bf16>& problem, const Gradients<Bf16>& gradients,
                     const Rotated& memory) {
  if (launch_whole_gradients(stream, problem, gradients)) return;
  const Problem<Bf16> p = turn_ahead(stream, problem, memory, true);
  launch_queries(stream, p, gradients);
  launch_keys(stream, p, gradients);
}

}  // namespace switchyard::model::causal
