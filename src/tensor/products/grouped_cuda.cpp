// Which kernel makes a product of many segments on an NVIDIA GPU, and what it is launched with.
#include "tensor/products/grouped_cuda.hpp"

#include <algorithm>
#include <cstdint>

#include "base/check.hpp"
#include "tensor/check_cuda.hpp"
#include "tensor/graph.hpp"
#include "tensor/products/experts_cuda.hpp"
#include "tensor/products/split_cuda.hpp"

namespace switchyard::products {
namespace {

constexpr Index partial_bytes = Index{512} << 20;  // of weight gradients, unless one network needs more
constexpr Index many_rows = 512;                   // a group, from which on smaller tiles of dW are faster
constexpr Index few_rows_of_floats = 256, few_rows_of_halves = 64;  // a grain: see prefers_tree_tiles
constexpr Index fewest_rows_of_halves = 4;                          // up to which tensor cores would multiply zeros
constexpr Index first_groups = 4096;                                // that the tables have room for at once
constexpr Index small_matrix = Index{1} << 18;  // elements of W up to which a launch costs more than its tiles
constexpr Index tiny_gradient = Index{1} << 16, small_gradient = Index{1} << 19;  // elements of dW: prefers_even_tree
constexpr Index many_even_rows = 1024;                                            // a grain

/// One thread a group.
__global__ void fill_table(Grouped p, GroupTables t) {
  const int g = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (g >= p.count) return;
  const int rows = static_cast<int>(p.rows(g)), sizes[] = {p.m, p.n, p.k};
  for (int i = 0; i < 3; ++i) t.shapes[3 * g + i] = sizes[i] < 0 ? rows : sizes[i];
  t.a[g] = p.begin(p.a, g), t.b[g] = p.begin(p.b, g), t.d[g] = p.begin(p.d, g);
  t.a_stride[g] = p.a.stride, t.b_stride[g] = p.b.stride, t.d_stride[g] = p.d.stride;
}

/// 16 bytes are what the tensor memory accelerator moves at least.
bool aligned(const GroupOperand& o, Element element) {
  constexpr Index line = 16;
  return reinterpret_cast<std::uintptr_t>(o.data) % line == 0 && o.stride * bytes_of(element) % line == 0 &&
         o.by_row % line == 0 && o.by_outer % line == 0 && o.by_inner % line == 0;
}

/// Of even groups.
EvenOperand even_operand(const Grouped& p, const GroupOperand& o, Element element) {
  const Index next = p.segments.most * o.by_row + (p.inner == 1 ? o.by_outer : o.by_inner);
  return {o.data, o.stride, next / bytes_of(element)};
}

/// Whether one launch with sizes of the host does for a weight gradient: segments without tables, of small matrices.
/// Never a matter of how many rows there are, but that none is none.
bool even_takes(const Grouped& p) {
  return !p.segments.first && p.segments.most > 0 && p.first == 0 && (p.inner == 1 || p.count <= p.inner) &&
         Index{p.m} * p.n <= small_matrix;
}

EvenLaunch even_launch(cudaStream_t stream, const Grouped& p, int processors) {
  return {stream,
          p.m,
          p.n,
          static_cast<int>(p.segments.most),
          p.count,
          even_operand(p, p.a, p.of.a),
          even_operand(p, p.b, p.of.b),
          even_operand(p, p.d, p.of.d),
          processors};
}

/// Rows of `t`, from the first row of a segment on.
GroupOperand rows_of(const Tensor& t) { return {t.data, t.stride, t.stride * bytes_of(t.element), 0, 0}; }

/// Whether partials would cost more than they save, by about 4·E·N·K·(2·G + 1) bytes against 2·rows·N·K operations: of
/// floats without tensor cores, of halves in the smaller tiles that leave registers for the tree. Sums of floats have
/// the same bits either way, so that the number of rows may choose; for halves it is the configuration, also where a
/// node is one grain and has no partials.
bool prefers_tree_tiles(const Grouped& p, Index usual) {
  if (p.of.a != p.of.b) return false;
  if (p.of.a == Element::f32) return p.segments.rows < few_rows_of_floats * p.segments.count;
  return usual > 0 && usual <= few_rows_of_halves;
}

/// Whether the tree is summed where the products are made: segments without tables, whose rows are a matter of the
/// configuration, of matrices so small that partials cost more, or of so few tiles that a grain of many rows is cut.
bool prefers_even_tree(const Grouped& p) {
  if (p.segments.first || p.segments.most == 0 || !tensor_cores_take(p)) return false;
  const Index elements = Index{p.m} * p.n;
  return p.segments.most < many_even_rows ? elements < tiny_gradient : elements <= small_gradient;
}

const __nv_bfloat16* halves(const std::byte* p) { return reinterpret_cast<const __nv_bfloat16*>(p); }

/// The segments [first, first + count) of `p`, of rows that end before `rows`.
experts::Call rows_call(cudaStream_t stream, const Grouped& p, int first, int count, Index rows) {
  const Segments& s = p.segments;
  const bool tables = s.first != nullptr;
  return {tables ? s.first + first : nullptr,
          tables ? s.last + first : nullptr,
          count,
          tables ? rows : count * s.most,
          s.most,
          p.k,
          p.n,
          stream};
}

/// Forward or input gradient of bf16 operands, `rows` the rows of a and d.
void multiply_rows(cudaStream_t stream, const Grouped& p, Index rows) {
  const experts::Results results{p.of.d == Element::f32, p.add};
  const Index next = p.b.by_outer / bytes_of(p.of.b);
  for (int s = 0; s < p.count; s += experts::max_count) {
    const int count = std::min(p.count - s, experts::max_count);
    const Index before = p.segments.first ? 0 : s * p.segments.most;  // rows
    const experts::Call call = rows_call(stream, p, s, count, rows);
    const auto a = halves(p.a.data + before * p.a.by_row);
    const experts::Matrices w{halves(p.b.data + s * p.b.by_outer), next, p.b.stride};
    const experts::Result d{p.d.data + before * p.d.by_row, p.d.stride};
    if (p.kind == Kind::forward)
      experts::linear(call, {a, p.a.stride, p.k, 1, {w}, {p.n}, {d}, results});
    else
      experts::linear_gradient(call, {p.n, 1, {a}, {p.a.stride}, {p.k}, {w}, d, results});
  }
}

const std::uint16_t* bits_of(const std::byte* halves) { return reinterpret_cast<const std::uint16_t*>(halves); }
const float* floats(const std::byte* p) { return reinterpret_cast<const float*>(p); }

/// Whether x·wᵀ is of rows of halves by one matrix of floats, which tensor cores multiply at the accuracy of floats.
bool split_takes(const Grouped& p) {
  return p.kind == Kind::forward && p.of.a == Element::bf16 && p.of.b == Element::f32 && p.of.d == Element::f32 &&
         p.count == 1 && !p.segments.first && p.k > 0 && p.k % 8 == 0 && aligned(p.a, p.of.a) && aligned(p.b, p.of.b);
}

/// The same of a weight gradient, of pieces without tables; p.d is not used.
bool split_takes_gradient(const Grouped& p, const std::vector<TreeNode>& nodes, const Gradients& dw) {
  return p.of.a == Element::f32 && p.of.b == Element::bf16 && p.count == p.inner && !p.segments.first &&
         p.segments.most > 0 && p.n % 8 == 0 && aligned(p.b, p.of.b) && split::in_fours(dw.data, dw.node) &&
         nodes.size() <= split::most_nodes && p.inner <= split::most_pieces;
}

split::WeightGradient split_gradient(const Grouped& p, const Gradients& dw) {
  return {floats(p.a.data), p.a.stride, bits_of(p.b.data), p.b.stride, p.m, p.n,
          p.segments.most,  p.inner,    dw.data,           dw.node};
}

}  // namespace

GroupTables tables_at(std::byte* memory, int groups) {
  const auto pointers = [&](int i) { return reinterpret_cast<std::byte**>(memory) + Index{i} * groups; };
  const auto strides = [&](int i) { return reinterpret_cast<std::int64_t*>(memory) + Index{i} * groups; };
  return {
      reinterpret_cast<int*>(strides(6)), pointers(0), pointers(1), pointers(2), strides(3), strides(4), strides(5)};
}

void fill_tables(cudaStream_t stream, const Grouped& product, const GroupTables& tables) {
  constexpr int threads = 128;
  fill_table<<<(product.count + threads - 1) / threads, threads, 0, stream>>>(product, tables);
  check_cuda(cudaGetLastError(), "fill_table");
}

bool tensor_cores_take(const Grouped& p) {
  constexpr int whole = 8;  // elements of 16 bytes
  const auto wide = [](int size) { return size < 0 || (size > 0 && size % whole == 0); };
  return p.of.alike(Element::bf16) && wide(p.m) && wide(p.n) && wide(p.k) && aligned(p.a, p.of.a) &&
         aligned(p.b, p.of.b) && aligned(p.d, p.of.d);
}

DeviceScratch::~DeviceScratch() { static_cast<void>(cudaFree(data_)); }  // of a context that may be gone

std::byte* DeviceScratch::bytes(Index n) {
  if (n > size_) {
    ++memory_generation();
    check_cuda(cudaFree(data_), "cudaFree");
    data_ = nullptr, size_ = 0;
    check_cuda(cudaMalloc(&data_, static_cast<std::size_t>(n)), "cudaMalloc");
    size_ = n;
  }
  return static_cast<std::byte*>(data_);
}

GroupedProducts::GroupedProducts(cudaStream_t stream) : stream_(stream) {
  int device = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  check_cuda(cudaDeviceGetAttribute(&processors_, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
  tables_.bytes(first_groups * table_bytes);
  workspace_.bytes(workspace_bytes);
}

void GroupedProducts::multiply(const Grouped& product) {
  if (product.count == 0) return;
  if (!tensor_cores_take(product)) return multiply_tiles(stream_, product);
  if (even_takes(product)) return cutlass_even_weight_gradient(even_launch(stream_, product, processors_));
  const GroupTables tables = tables_at(tables_.bytes(product.count * table_bytes), product.count);
  fill_tables(stream_, product, tables);
  // The same bits from either (tests), so that the number of rows may choose.
  const bool many = product.segments.rows >= many_rows * product.segments.count;
  const auto kernel = many ? cutlass_weight_gradient_many : cutlass_weight_gradient_few;
  kernel({stream_, product.count, tables, processors_, workspace_.bytes(workspace_bytes)});
}

void GroupedProducts::rows(Kind kind, const Segments& segments, const Tensor& from, const Weights& w, const Tensor& to,
                           Write write) {
  if (segments.rows == 0 || segments.count == 0 || to.width == 0) return;
  const GroupOperand weights{w.matrix.data, w.matrix.stride, 0, w.next * bytes_of(w.matrix.element), 0};
  const Grouped p{kind,
                  {from.element, w.matrix.element, to.element},
                  write == Write::add,
                  segments,
                  0,
                  segments.count,
                  1,
                  -1,
                  static_cast<int>(to.width),
                  static_cast<int>(from.width),
                  rows_of(from),
                  weights,
                  rows_of(to)};
  if (tensor_cores_take(p)) return multiply_rows(stream_, p, std::min(from.rows, to.rows));
  if (split_takes(p))
    return split::forward(stream_,
                          {bits_of(p.a.data), floats(p.b.data), p.a.stride, p.b.stride, segments.rows, p.n, p.k},
                          to.lines<float>().data, to.stride, p.add);
  multiply_tiles(stream_, p);
}

void GroupedProducts::sum_slices(const split::WeightGradient& p, const std::vector<TreeNode>& nodes) {
  const Index rows = split::slice_rows(p), words = split::counters(p);
  if (words > zero_words_) {  // kernels leave them zero
    const Index bytes = words * static_cast<Index>(sizeof(unsigned));
    check_cuda(cudaMemsetAsync(zeros_.bytes(bytes), 0, static_cast<std::size_t>(bytes), stream_), "cudaMemsetAsync");
    zero_words_ = words;
  }
  split::weight_gradient(stream_, p, nodes, rows, partials_.bytes(split::partial_bytes(p, rows)),
                         reinterpret_cast<unsigned*>(zeros_.bytes(0)));
}

void GroupedProducts::weight_gradient(const GrainSegments& of, const Tensor& dy, const Tensor& x, const Gradients& dw) {
  const Index n = dy.width, k = x.width, one = n * k * bytes_of(Element::f32), all = of.grains * one;
  if (of.networks == 0 || of.grains == 0 || one == 0) return;
  Grouped p{Kind::weight_gradient,
            {dy.element, x.element, Element::f32},
            false,
            of.segments,
            0,
            of.networks * of.grains,
            of.grains,
            static_cast<int>(n),
            static_cast<int>(k),
            -1,
            rows_of(dy),
            rows_of(x),
            {}};
  if (split_takes_gradient(p, *of.nodes, dw)) return sum_slices(split_gradient(p, dw), *of.nodes);
  if (prefers_tree_tiles(p, of.usual)) {
    const bool by_halves = tensor_cores_take(p) && of.usual > fewest_rows_of_halves;
    return (by_halves ? sum_halves : sum_tiles)(stream_, p, *of.nodes, dw);
  }
  if (prefers_even_tree(p)) return sum_even_halves(stream_, p, *of.nodes, dw);
  const Index to_bytes = bytes_of(Element::f32);
  if (static_cast<int>(of.nodes->size()) == of.grains) {  // nothing to add
    p.d = {reinterpret_cast<std::byte*>(dw.data), k, 0, dw.next * to_bytes, dw.node * to_bytes};
    return multiply(p);
  }
  const int at_once = static_cast<int>(std::clamp<Index>(partial_bytes / all, 1, of.networks));
  std::byte* partials = partials_.bytes(at_once * all);
  for (int e = 0; e < of.networks; e += at_once) {
    const int networks = std::min(at_once, of.networks - e);
    p.first = e * of.grains, p.count = networks * of.grains;
    p.d = {partials - e * all, k, 0, all, one};
    multiply(p);
    sum_partials(stream_, {reinterpret_cast<const float*>(partials), n * k, e, networks, of.grains}, *of.nodes, dw);
  }
}

}  // namespace switchyard::products
