// The row kernels of dispatch and combine on a GPU: a pack of a row a thread, or a row a warp where it is summed.
#include "moe/rows.hpp"
#include "tensor/launch_cuda.hpp"
#include "tensor/packs_cuda.hpp"

namespace switchyard::moe::rows {
namespace {

using gpu::element_block;
using gpu::pack;

/// Rows of words: 16 bytes, or an element where rows are not made of those.
template <class Word>
struct Words {
  const Word* from;
  Word* to;
  Index from_stride, to_stride;
  unsigned rows, half;  // a thread copies words c and c + half of a row of `in_row`
  int in_row;
};

/// to row r = from row index[r] − before, or, scattered, to row index[r] = from row r.
template <bool scattered, class Word>
__global__ void __launch_bounds__(element_block) copy_words(Words<Word> a, const std::int32_t* index, Index before) {
  const unsigned i = blockIdx.x * element_block + threadIdx.x, row = i / a.half;
  const int c = static_cast<int>(i % a.half), next = c + static_cast<int>(a.half);
  gpu::await_before();
  gpu::let_next_come();
  if (row >= a.rows) return;
  const Index other = index[row] - before;
  const Word* from = a.from + (scattered ? Index{row} : other) * a.from_stride;
  Word* to = a.to + (scattered ? other : Index{row}) * a.to_stride;
  const Word first = from[c];
  if (next < a.in_row) {
    const Word second = from[next];
    to[next] = second;
  }
  to[c] = first;
}

template <bool scattered, class Word>
void launch_copy(const Queue& queue, const std::int32_t* index, const Tensor& from, const Tensor& to, Index before) {
  const Index rows = scattered ? from.rows : to.rows, bytes = bytes_of(to.element), word = sizeof(Word);
  const Index in_row = to.width * bytes / word;
  const Words<Word> a{reinterpret_cast<const Word*>(from.data),
                      reinterpret_cast<Word*>(to.data),
                      from.stride * bytes / word,
                      to.stride * bytes / word,
                      static_cast<unsigned>(rows),
                      static_cast<unsigned>((in_row + 1) / 2),
                      static_cast<int>(in_row)};
  expect(rows * a.half < Index{1} << 31, "words that 32 bits count");
  gpu::launch(copy_words<scattered, Word>, gpu::blocks_for(rows * a.half, element_block), element_block, 0,
              gpu::stream_of(queue), a, index, before);
}

template <bool scattered>
void copy_rows(const Queue& queue, const std::int32_t* index, const Tensor& from, const Tensor& to, Index before) {
  if ((scattered ? from.rows : to.rows) * to.width == 0) return;
  if (gpu::in_packs(from) && gpu::in_packs(to)) return launch_copy<scattered, uint4>(queue, index, from, to, before);
  if (to.element == Element::bf16) return launch_copy<scattered, Bf16>(queue, index, from, to, before);
  launch_copy<scattered, float>(queue, index, from, to, before);
}

constexpr int max_group_levels = 7;
static_assert(max_combine_groups == 1 << (max_group_levels - 1));

template <class T>
struct Sums {
  Choices choices;
  const float* weight;
  Lines<T> rows;
  gpu::PackGrid grid;
};

/// s = the chain over the choices of group g of a token, +0 where there is none; whether there is one. Four rows are
/// read at a time, before any is added.
template <bool whole, class T>
__device__ bool add_group(const Sums<T>& a, Index token, int g, int c, float (&s)[pack]) {
  constexpr int at_once = 4;
  const Choices& choices = a.choices;
  bool any = false;
  for (float& value : s) value = 0.0f;
  const Index end = choices.first[token + 1];
  for (Index first = choices.first[token]; first < end; first += at_once) {
    float v[at_once][pack], weight[at_once];
    bool there[at_once];
#pragma unroll
    for (int j = 0; j < at_once; ++j) {
      const Index choice = first + j;
      const Index row = choice < end ? choices.row[choice] : -1;
      there[j] = row >= 0 && (choices.order.groups == 1 || choices.order.group_of(choice) == g);
      weight[j] = there[j] && a.weight ? a.weight[choice] : 1.0f;
      gpu::read<whole>(a.rows.row(there[j] ? row : 0), c, there[j] ? a.grid.width : 0, v[j]);
    }
#pragma unroll
    for (int j = 0; j < at_once; ++j) {
      if (!there[j]) continue;
      any = true;
      for (int l = 0; l < pack; ++l) s[l] = choices.order.chained ? fmaf(weight[j], v[j][l], s[l]) : v[j][l];
    }
  }
  return any;
}

/// As a row of T has it.
template <class T>
__device__ float rounded(float value) {
  T as_row;
  store(value, as_row);
  return load(as_row);
}

/// The sum over the groups, along their tree: sum number g of a level waits for number g + 1 where g is even.
template <bool whole, class T>
__device__ void add_groups(const Sums<T>& a, Index token, int c, float (&s)[pack]) {
  float waiting[max_group_levels][pack];
  bool there[max_group_levels];
  for (int g = 0; g < a.choices.order.groups; ++g) {
    bool any = add_group<whole>(a, token, g, c, s);
    for (int l = 0; l < pack; ++l) s[l] = rounded<T>(s[l]);
    int level = 0;
    for (; g >> level & 1; ++level) {
      if (!there[level]) continue;
      for (int l = 0; l < pack; ++l) s[l] = any ? rounded<T>(waiting[level][l] + s[l]) : waiting[level][l];
      any = true;
    }
    for (int l = 0; l < pack; ++l) waiting[level][l] = s[l];
    there[level] = any;
  }
}

template <bool grouped, bool whole, class T>
__device__ void add_choices(const Sums<T>& a, Index token, int c, float (&s)[pack]) {
  if (grouped)
    add_groups<whole>(a, token, c, s);
  else
    add_group<whole>(a, token, 0, c, s);
}

/// y += the sums.
template <bool grouped, bool whole, class T>
__global__ void __launch_bounds__(element_block) add_token_sums(Sums<T> a, Lines<float> y) {
  Index token;
  int c;
  gpu::await_before();
  gpu::let_next_come();
  if (!a.grid.find(token, c)) return;
  float s[pack], before[pack];
  gpu::read<whole>(y.row(token), c, a.grid.width, before);
  add_choices<grouped, whole>(a, token, c, s);
  for (int l = 0; l < pack; ++l) s[l] = before[l] + s[l];
  gpu::write<whole>(s, y.row(token), c, a.grid.width);
}

template <bool grouped, bool whole, class T>
__global__ void __launch_bounds__(element_block) write_token_sums(Sums<T> a, Lines<T> to) {
  Index token;
  int c;
  gpu::await_before();
  gpu::let_next_come();
  if (!a.grid.find(token, c)) return;
  float s[pack];
  add_choices<grouped, whole>(a, token, c, s);
  gpu::write<whole>(s, to.row(token), c, a.grid.width);
}

/// Calls f with what kernels are made for: whether choices are grouped, whether rows are in packs, the element.
template <class F>
void by_kind(const Choices& choices, const Tensor& rows, const Tensor& other, const F& f) {
  by_element(rows.element, [&](auto zero) {
    gpu::by_packs(gpu::in_packs(rows) && gpu::in_packs(other), [&](auto whole) {
      choices.order.groups > 1 ? f(std::true_type{}, whole, zero) : f(std::false_type{}, whole, zero);
    });
  });
}

}  // namespace

void gather(const Queue& queue, const std::int32_t* index, const Tensor& from, const Tensor& to, Index before) {
  copy_rows<false>(queue, index, from, to, before);
}

void scatter(const Queue& queue, const std::int32_t* index, const Tensor& from, const Tensor& to) {
  copy_rows<true>(queue, index, from, to, 0);
}

void add_sums(const Queue& queue, const Choices& choices, const float* weight, const Tensor& rows, const Tensor& y) {
  const gpu::PackGrid grid(choices.tokens, y.width);
  if (grid.count == 0) return;
  by_kind(choices, rows, y, [&](auto grouped, auto whole, auto zero) {
    using T = decltype(zero);
    gpu::launch(add_token_sums<decltype(grouped)::value, decltype(whole)::value, T>, grid.blocks(), element_block, 0,
                gpu::stream_of(queue), Sums<T>{choices, weight, rows.lines<T>(), grid}, y.lines<float>());
  });
}

void sums(const Queue& queue, const Choices& choices, const float* weight, const Tensor& rows, const Tensor& sums) {
  const gpu::PackGrid grid(choices.tokens, sums.width);
  if (grid.count == 0) return;
  by_kind(choices, rows, sums, [&](auto grouped, auto whole, auto zero) {
    using T = decltype(zero);
    gpu::launch(write_token_sums<decltype(grouped)::value, decltype(whole)::value, T>, grid.blocks(), element_block, 0,
                gpu::stream_of(queue), Sums<T>{choices, weight, rows.lines<T>(), grid}, sums.lines<T>());
  });
}

}  // namespace switchyard::moe::rows
