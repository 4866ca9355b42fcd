// Rows of logits on a GPU: a block a row. One read finds the maximum, its place and the sum of exponentials; what does
// not fit in the block's registers is read again, from the cache, for the gradient.
#include <cmath>

#include "model/head.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/math.hpp"
#include "tensor/packs_cuda.hpp"

namespace switchyard::model {
namespace {

template <class T>
struct LogitRows {
  Lines<T> logits;
  const std::int32_t* targets;
  float *loss, *log_sum;
  std::int32_t* predicted;
  float token_weight, z_weight;
  int width;
  bool train;
};

/// Elements of 16 bytes.
template <class T>
constexpr int in_word = 16 / sizeof(T);

/// Exponentials of floats as everywhere; those of Bf16, whose own error is 10,000 times as large, by the GPU's unit.
__device__ inline float exponential(float x, float) { return fast_exp(x); }
__device__ inline float exponential(float x, Bf16) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * 1.44269504f));
  return y;
}

__device__ inline void to_floats(const uint4& word, float (&v)[8]) { gpu::unpack(word, v); }
__device__ inline void to_floats(const uint4& word, float (&v)[4]) {
  v[0] = __uint_as_float(word.x), v[1] = __uint_as_float(word.y);
  v[2] = __uint_as_float(word.z), v[3] = __uint_as_float(word.w);
}

/// Elements of a row from c on; −∞ past its end.
template <bool whole, class T>
__device__ uint4 read_word(const T* row, int c, int width) {
  if (whole) return c < width ? *reinterpret_cast<const uint4*>(row + c) : make_uint4(0, 0, 0, 0);
  uint4 word;
  T* v = reinterpret_cast<T*>(&word);
#pragma unroll
  for (int l = 0; l < in_word<T>; ++l)
    if (c + l < width)
      v[l] = row[c + l];
    else
      store(-INFINITY, v[l]);
  return word;
}

template <bool whole>
__device__ void write_word(const float (&v)[4], float* row, int c, int width) {
  if (whole) {
    *reinterpret_cast<float4*>(row + c) = make_float4(v[0], v[1], v[2], v[3]);
  } else {
#pragma unroll
    for (int l = 0; l < 4; ++l)
      if (c + l < width) row[c + l] = v[l];
  }
}
template <bool whole>
__device__ void write_word(const float (&v)[8], Bf16* row, int c, int width) {
  gpu::write<whole>(v, row, c, width);
}

/// Of a part of a row: its maximum, the first place of that, and Σ exp(logit − maximum).
struct Softmax {
  float maximum, sum;
  int place;
};
__device__ constexpr Softmax nothing{-INFINITY, 0.0f, 0x7FFFFFFF};

/// Adds a word whose first element is number c of the row.
template <class T>
__device__ void add_word(Softmax& s, const uint4& word, int c) {
  constexpr int n = in_word<T>;
  float v[n];
  to_floats(word, v);
  float most = v[0];
#pragma unroll
  for (int l = 1; l < n; ++l) most = fmaxf(most, v[l]);
  if (most > s.maximum) {
    s.sum *= exponential(s.maximum - most, T{});
    s.maximum = most;
#pragma unroll
    for (int l = n - 1; l >= 0; --l)
      if (v[l] == most) s.place = c + l;
  }
#pragma unroll
  for (int l = 0; l < n; ++l) v[l] = exponential(v[l] - s.maximum, T{});
#pragma unroll
  for (int half = n / 2; half > 0; half /= 2)
#pragma unroll
    for (int l = 0; l < half; ++l) v[l] += v[l + half];
  s.sum += v[0];
}

/// Over the threads of a warp: the same in each.
template <class T>
__device__ Softmax merged(const Softmax& own) {
  Softmax all = own;
#pragma unroll
  for (int distance = gpu::warp / 2; distance > 0; distance /= 2) {
    const float maximum = __shfl_xor_sync(gpu::all_lanes, all.maximum, distance);
    const int place = __shfl_xor_sync(gpu::all_lanes, all.place, distance);
    if (maximum > all.maximum || (maximum == all.maximum && place < all.place))
      all.maximum = maximum, all.place = place;
  }
  all.sum = own.maximum == all.maximum ? own.sum : own.sum * exponential(own.maximum - all.maximum, T{});
#pragma unroll
  for (int distance = gpu::warp / 2; distance > 0; distance /= 2)
    all.sum += __shfl_xor_sync(gpu::all_lanes, all.sum, distance);
  return all;
}

/// Over the threads of a block.
template <int threads, class T>
__device__ Softmax merged_in_block(const Softmax& own) {
  constexpr int warps = threads / gpu::warp;
  __shared__ Softmax of_warp[warps];
  const int lane = threadIdx.x % gpu::warp;
  const Softmax in_warp = merged<T>(own);
  if (lane == 0) of_warp[threadIdx.x / gpu::warp] = in_warp;
  __syncthreads();
  return merged<T>(lane < warps ? of_warp[lane] : nothing);
}

/// What the gradient of a row is made with.
struct Slope {
  float maximum, factor, token_weight;
  int target;
};

/// token_weight·(p − onehot) + z_weight·2·log_sum·p of a word, in its place.
template <bool whole, class T>
__device__ void write_gradient(const Slope& slope, const uint4& word, T* row, int c, int width) {
  constexpr int n = in_word<T>;
  float v[n];
  to_floats(word, v);
#pragma unroll
  for (int l = 0; l < n; ++l) v[l] = exponential(v[l] - slope.maximum, T{}) * slope.factor;
  if (static_cast<unsigned>(slope.target - c) < static_cast<unsigned>(n)) {
#pragma unroll
    for (int l = 0; l < n; ++l)
      if (c + l == slope.target) v[l] -= slope.token_weight;
  }
  write_word<whole>(v, row, c, width);
}

/// The first `words` words of each thread are read once.
template <int threads, int words, bool whole, class T>
__global__ void __launch_bounds__(threads, 1024 / threads) head_row(LogitRows<T> a) {
  constexpr int n = in_word<T>;
  const Index i = blockIdx.x;
  T* row = a.logits.row(i);
  gpu::await_before();
  gpu::let_next_come();
  const int start = static_cast<int>(threadIdx.x) * n, target = a.targets[i];
  uint4 kept[words];
#pragma unroll
  for (int k = 0; k < words; ++k) kept[k] = read_word<whole>(row, start + k * threads * n, a.width);
  const float of_target = load(row[target]);
  Softmax own = nothing;
#pragma unroll
  for (int k = 0; k < words; ++k)
    if (start + k * threads * n < a.width) add_word<T>(own, kept[k], start + k * threads * n);
#pragma unroll 2
  for (int c = start + words * threads * n; c < a.width; c += threads * n)
    add_word<T>(own, read_word<whole>(row, c, a.width), c);
  const Softmax all = merged_in_block<threads, T>(own);
  const float log_sum = all.maximum + fast_log(all.sum);
  if (threadIdx.x == 0) {
    a.log_sum[i] = log_sum, a.loss[i] = log_sum - of_target;
    a.predicted[i] = all.place < a.width ? all.place : 0;
  }
  if (!a.train) return;
  const Slope slope{all.maximum, (a.token_weight + 2.0f * a.z_weight * log_sum) / all.sum, a.token_weight, target};
#pragma unroll
  for (int k = 0; k < words; ++k)
    if (start + k * threads * n < a.width) write_gradient<whole>(slope, kept[k], row, start + k * threads * n, a.width);
  for (int c = start + words * threads * n; c < a.width; c += 4 * threads * n) {
    uint4 again[4];  // all read before any is written
#pragma unroll
    for (int j = 0; j < 4; ++j) again[j] = read_word<whole>(row, c + j * threads * n, a.width);
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (c + j * threads * n < a.width) write_gradient<whole>(slope, again[j], row, c + j * threads * n, a.width);
  }
}

/// The shape of a block follows from the width and the element.
template <bool whole, class T>
void launch(const Queue& queue, const LogitRows<T>& a, Index rows) {
  const auto blocks = static_cast<unsigned>(rows);
  const cudaStream_t stream = gpu::stream_of(queue);
  const Index words = (a.width + in_word<T> - 1) / in_word<T>;
  if (words <= 128 * 4)
    gpu::launch(head_row<128, 4, whole, T>, blocks, 128, 0, stream, a);
  else if (words <= 256 * 8)
    gpu::launch(head_row<256, 8, whole, T>, blocks, 256, 0, stream, a);
  else
    gpu::launch(head_row<512, 8, whole, T>, blocks, 512, 0, stream, a);
}

constexpr int sum_threads = 256;

/// A block a grain: thread t adds rows t, t + 256, …, threads are added in pairs.
__global__ void __launch_bounds__(sum_threads)
    grain_sums(const float* loss, const float* log_sum, Index grain_rows, double* sums) {
  __shared__ double of_thread[2][sum_threads];
  const Index first = Index{blockIdx.x} * grain_rows;
  double losses = 0.0, squares = 0.0;
  gpu::await_before();
  gpu::let_next_come();
  for (Index i = first + threadIdx.x; i < first + grain_rows; i += sum_threads) {
    losses += loss[i];
    squares = fma(static_cast<double>(log_sum[i]), static_cast<double>(log_sum[i]), squares);
  }
  of_thread[0][threadIdx.x] = losses, of_thread[1][threadIdx.x] = squares;
  for (unsigned half = sum_threads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half)
      for (auto& sum : of_thread) sum[threadIdx.x] += sum[threadIdx.x + half];
  }
  if (threadIdx.x == 0) sums[2 * blockIdx.x] = of_thread[0][0], sums[2 * blockIdx.x + 1] = of_thread[1][0];
}

}  // namespace

Index head_memory(Index /*n*/, Index /*vocabulary*/, int /*threads*/) { return 0; }

void head_losses(const Queue& queue, const HeadRows& rows, moe::Pass pass) {
  if (rows.logits.rows == 0) return;
  by_element(rows.logits.element, [&](auto zero) {
    using T = decltype(zero);
    const LogitRows<T> a{
        rows.logits.lines<T>(),  rows.targets.data(), rows.loss.data(), rows.log_sum.data(),
        rows.predicted.data(),   rows.token_weight,   rows.z_weight,    static_cast<int>(rows.logits.width),
        pass == moe::Pass::train};
    if (gpu::in_packs(rows.logits))
      launch<true>(queue, a, rows.logits.rows);
    else
      launch<false>(queue, a, rows.logits.rows);
  });
}

void sum_losses(const Queue& queue, const nn::Rows& rows, const HeadPass& pass) {
  if (rows.count == 0) return;
  gpu::launch(grain_sums, static_cast<unsigned>(rows.grain_count()), sum_threads, 0, gpu::stream_of(queue),
              pass.rows.loss.data(), pass.rows.log_sum.data(), rows.grain_rows, pass.sums.device().data());
}

}  // namespace switchyard::model
