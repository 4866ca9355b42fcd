// Matrix products on an NVIDIA GPU by cuBLAS: floats in single precision without tensor cores, Bf16 with sums in
// floats.
//
// Layout invariance: a cuBLAS kernel is chosen by the shape of the product, so rows are always worked in blocks of one
// shape, the last one of a segment filled up with zero rows; operands that are not aligned and laid out like a block's
// own memory are copied first. Weight gradients are one product a (network, grain), which no layout changes, and
// additions along the tree. Each segment is a call of its own, so the host waits for the tables of segments.
#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "tensor/check_cuda.hpp"
#include "tensor/products/library.hpp"
#include "tensor/products/products.hpp"

namespace switchyard::products {
namespace {

constexpr Index block_rows = 64;
constexpr std::size_t workspace_bytes = std::size_t{32} << 20;

void check_cublas(cublasStatus_t code, const char* call) {
  check(code == CUBLAS_STATUS_SUCCESS, code == CUBLAS_STATUS_ALLOC_FAILED ? Exit::memory : Exit::internal,
        std::string(call) + " failed (" + cublasGetStatusString(code) + ")");
}

/// Device memory that grows and is kept; contents are lost when it grows.
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  ~Scratch() { static_cast<void>(cudaFree(data_)); }  // of a context that may be gone
  std::byte* bytes(Index n) {
    if (n > size_) {
      check_cuda(cudaFree(data_), "cudaFree");
      data_ = nullptr, size_ = 0;
      check_cuda(cudaMalloc(&data_, static_cast<std::size_t>(n + n / 4)), "cudaMalloc");
      size_ = n + n / 4;
    }
    return static_cast<std::byte*>(data_);
  }

 private:
  void* data_ = nullptr;
  Index size_ = 0;
};

}  // namespace

struct Workspace {
  explicit Workspace(const Device& space) : stream(space.cuda_stream()) {
    check_cublas(cublasCreate(&handle), "cublasCreate");
    check_cublas(cublasSetMathMode(handle, CUBLAS_PEDANTIC_MATH), "cublasSetMathMode");
    check_cublas(cublasSetStream(handle, stream), "cublasSetStream");
    check_cublas(cublasSetWorkspace(handle, library.bytes(workspace_bytes), workspace_bytes), "cublasSetWorkspace");
  }
  Workspace(const Workspace&) = delete;
  ~Workspace() { static_cast<void>(cublasDestroy(handle)); }

  void zero(std::byte* to, Index n) const { check_cuda(cudaMemsetAsync(to, 0, n, stream), "cudaMemsetAsync"); }
  /// Rows of `from` to rows of `to`, of equal size.
  void copy(const Tensor& from, const Tensor& to) const {
    const Index bytes = bytes_of(from.element);
    if (from.rows * from.width == 0) return;
    check_cuda(cudaMemcpy2DAsync(to.data, to.stride * bytes, from.data, from.stride * bytes, from.width * bytes,
                                 from.rows, cudaMemcpyDeviceToDevice, stream),
               "cudaMemcpy2DAsync");
  }

  /// Segments with tables that the host reads, until the next call.
  Segments on_host(const Segments& segments) {
    if (!segments.first) return segments;
    const std::size_t n = segments.count, bytes = n * sizeof(Index);
    first.resize(n), last.resize(n);
    check_cuda(cudaMemcpyAsync(first.data(), segments.first, bytes, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
    check_cuda(cudaMemcpyAsync(last.data(), segments.last, bytes, cudaMemcpyDeviceToHost, stream), "cudaMemcpyAsync");
    check_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    return {segments.count, first.data(), last.data(), segments.rows, segments.most};
  }

  cudaStream_t stream;
  cublasHandle_t handle = nullptr;
  std::vector<Index> first, last;
  Scratch library;           ///< cuBLAS' own
  Scratch blocks, partials;  ///< staged operands
  Scratch subtrees;          ///< finished subtrees of a weight gradient that wait for their right neighbour
};

std::shared_ptr<Workspace> make_workspace(const Device& space) { return std::make_shared<Workspace>(space); }

namespace {

cudaDataType_t type_of(const Tensor& t) { return t.element == Element::bf16 ? CUDA_R_16BF : CUDA_R_32F; }
int stride_of(const Tensor& t) { return static_cast<int>(t.stride); }

/// C(m, n) = op A·op B + beta·C, all row-major: cuBLAS computes Cᵀ = op Bᵀ·op Aᵀ by columns.
struct How {
  bool a_transposed, b_transposed;
  float beta = 0.0f;
};

void multiply(const Workspace& workspace, const How& how, const Tensor& a, const Tensor& b, const Tensor& c) {
  const Index depth = how.a_transposed ? a.rows : a.width;
  if (c.rows * c.width * depth == 0) {  // cuBLAS refuses a leading dimension of 0
    if (how.beta == 0.0f) workspace.zero(c.data, c.rows * c.width * bytes_of(c.element));
    return;
  }
  const float one = 1.0f;
  const auto of_b = how.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N, of_a = how.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  const int n = static_cast<int>(c.width), m = static_cast<int>(c.rows), k = static_cast<int>(depth);
  if (a.element == Element::f32)
    return check_cublas(
        cublasSgemm(workspace.handle, of_b, of_a, n, m, k, &one, b.lines<float>().data, stride_of(b),
                    a.lines<float>().data, stride_of(a), &how.beta, c.lines<float>().data, stride_of(c)),
        "cublasSgemm");
  check_cublas(cublasGemmEx(workspace.handle, of_b, of_a, n, m, k, &one, b.data, type_of(b), stride_of(b), a.data,
                            type_of(a), stride_of(a), &how.beta, c.data, type_of(c), stride_of(c),
                            CUBLAS_COMPUTE_32F_PEDANTIC, CUBLAS_GEMM_DEFAULT),
               "cublasGemmEx");
}

constexpr Index alignment = 64;  // bytes that every operand is aligned to
bool aligned(const Tensor& t) { return reinterpret_cast<std::uintptr_t>(t.data) % alignment == 0 && t.contiguous(); }
Index bytes_of(Index rows, Index width, Element element) {
  return (rows * width * switchyard::bytes_of(element) + 255) / 256 * 256;
}

/// `t`, or a copy of it in `staged` where it is not aligned or has to be filled up with zeros to `rows` rows.
Tensor stage(const Workspace& workspace, const Tensor& t, Index rows, std::byte* staged) {
  if (t.rows == rows && aligned(t)) return t;
  const Tensor to(staged, t.element, rows, t.width);
  workspace.copy(t, to);
  workspace.zero(to.at(t.rows, 0), (rows - t.rows) * t.width * switchyard::bytes_of(t.element));
  return to;
}

/// y(rows, out) = x(rows, in)·op W for the rows of each segment, in blocks of block_rows.
void by_blocks(const Queue& queue, const Segments& on_device, const How& how, const Tensor& x, const Weights& w,
               const Tensor& y) {
  Workspace& workspace = queue.workspace();
  const Segments segments = workspace.on_host(on_device);
  const Index x_bytes = bytes_of(block_rows, x.width, x.element), y_bytes = bytes_of(block_rows, y.width, y.element);
  const Index w_bytes = bytes_of(w.matrix.rows, w.matrix.width, w.matrix.element);
  expect(x.element == w.matrix.element, "operands of one element, as cuBLAS takes them");
  std::byte* staged = workspace.blocks.bytes(x_bytes + y_bytes + w_bytes);
  const Tensor staged_y(staged + x_bytes, y.element, block_rows, y.width);
  for (int s = 0; s < segments.count; ++s) {
    if (segments.begin(s) == segments.end(s)) continue;
    const Tensor weights = stage(workspace, w.of(s), w.matrix.rows, staged + x_bytes + y_bytes);
    for (Index row = segments.begin(s); row < segments.end(s); row += block_rows) {
      const Index rows = std::min(block_rows, segments.end(s) - row);
      const Tensor own = y.part(row, rows);
      const bool direct = rows == block_rows && aligned(own);
      if (!direct && how.beta != 0.0f) workspace.copy(own, staged_y.part(0, rows));
      multiply(workspace, how, stage(workspace, x.part(row, rows), block_rows, staged), weights,
               direct ? own : staged_y);
      if (!direct) workspace.copy(staged_y.part(0, rows), own);
    }
  }
}

/// Rows [first, last) of dY and X to one partial gradient.
void partial_gradient(Workspace& workspace, const Tensor& dy, const Tensor& x, const Tensor& dw) {
  if (dy.rows == 0) return workspace.zero(dw.data, dw.rows * dw.width * switchyard::bytes_of(dw.element));
  const bool direct = aligned(dy) && aligned(x);
  const Index dy_bytes = bytes_of(dy.rows, dy.width, dy.element);
  std::byte* staged = direct ? nullptr : workspace.partials.bytes(dy_bytes + bytes_of(x.rows, x.width, x.element));
  multiply(workspace, {true, false}, stage(workspace, dy, dy.rows, staged),
           stage(workspace, x, x.rows, direct ? nullptr : staged + dy_bytes), dw);
}

/// into += from, along the tree.
void add(const Workspace& workspace, const Tensor& from, const Tensor& into) {
  const float one = 1.0f;
  check_cublas(cublasSaxpy(workspace.handle, static_cast<int>(from.rows * from.width), &one, from.lines<float>().data,
                           1, into.lines<float>().data, 1),
               "cublasSaxpy");
}

}  // namespace

void forward(const Queue& queue, const Segments& segments, const Tensor& x, const Weights& w, const Tensor& y,
             Write write) {
  by_blocks(queue, segments, {false, true, write == Write::add ? 1.0f : 0.0f}, x, w, y);
}

void input_gradient(const Queue& queue, const Segments& segments, const Tensor& dy, const Weights& w, const Tensor& dx,
                    Write write) {
  by_blocks(queue, segments, {false, false, write == Write::add ? 1.0f : 0.0f}, dy, w, dx);
}

void weight_gradient(const Queue& queue, const GrainSegments& grains, const Tensor& dy, const Tensor& x,
                     const Gradients& dw) {
  Workspace& workspace = queue.workspace();
  const Segments segments = workspace.on_host(grains.segments);
  const Index n = dy.width, k = x.width, slot = bytes_of(n, k, Element::f32);
  std::byte* stack = workspace.subtrees.bytes(slot * (1 + std::bit_width(static_cast<unsigned>(grains.grains))));
  const auto level = [&](int height) { return Tensor(stack + height * slot, Element::f32, n, k); };
  for (int e = 0; e < grains.networks; ++e) {
    Index s = Index{e} * grains.grains;
    for (std::size_t t = 0; t < grains.nodes->size(); ++t) {
      int height = 0;
      for (int leaf = 0; leaf < (*grains.nodes)[t].size; ++leaf, ++s) {
        const Index first = segments.begin(s), rows = segments.end(s) - first;
        partial_gradient(workspace, dy.part(first, rows), x.part(first, rows), level(height));
        for (int merges = std::countr_one(static_cast<unsigned>(leaf)); merges > 0; --merges, --height)
          add(workspace, level(height), level(height - 1));
        ++height;
      }
      workspace.copy(level(0), Tensor(dw.data + static_cast<Index>(t) * dw.node + e * dw.next, Element::f32, n, k));
    }
  }
}

std::string bits_depend_on() {
  int device = 0, major = 0, minor = 0, version = 0;
  const Queue queue;
  check_cublas(cublasGetVersion(queue.workspace().handle, &version), "cublasGetVersion");  // of the library loaded
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute");
  check_cuda(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "cudaDeviceGetAttribute");
  return "cuBLAS " + std::to_string(version) + ", blocks of " + std::to_string(block_rows) +
         " rows, compute capability " + std::to_string(major) + "." + std::to_string(minor);
}

const char* description() {
  static const std::string text = "cuBLAS " + std::to_string(CUBLAS_VER_MAJOR) + "." +
                                  std::to_string(CUBLAS_VER_MINOR) + " fp32, blocks of " + std::to_string(block_rows) +
                                  " rows";
  return text.c_str();
}

}  // namespace switchyard::products
