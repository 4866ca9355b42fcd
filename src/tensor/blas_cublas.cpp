// Matrix products on an NVIDIA GPU by cuBLAS, in single precision without tensor cores.
//
// Layout invariance: a cuBLAS kernel is chosen by the shape of the product, so rows are always worked in blocks of one
// shape, the last one of a group filled up with zero rows; operands that are not aligned like a block's own memory are
// copied first. Weight gradients are one product a (group, grain), which no layout changes, and additions along the
// tree.
#include "tensor/blas.hpp"

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>

#include "base/check.hpp"

namespace switchyard::blas {
namespace {

constexpr Index block_rows = 64;
constexpr std::size_t workspace_bytes = std::size_t{32} << 20;

void check_cuda(cudaError_t code, const char* call) {
  check(code == cudaSuccess, code == cudaErrorMemoryAllocation ? Exit::memory : Exit::internal,
        std::string(call) + " failed (" + cudaGetErrorString(code) + ")");
}

void check_cublas(cublasStatus_t code, const char* call) {
  check(code == CUBLAS_STATUS_SUCCESS, code == CUBLAS_STATUS_ALLOC_FAILED ? Exit::memory : Exit::internal,
        std::string(call) + " failed (" + cublasGetStatusString(code) + ")");
}

/// Device memory that grows and is kept; contents are lost when it grows.
class Scratch {
 public:
  float* floats(Index n) {
    if (n > size_) {
      check_cuda(cudaFree(data_), "cudaFree");
      data_ = nullptr, size_ = 0;
      void* memory = nullptr;
      check_cuda(cudaMalloc(&memory, static_cast<std::size_t>(n + n / 4) * sizeof(float)), "cudaMalloc");
      data_ = static_cast<float*>(memory);
      size_ = n + n / 4;
    }
    return data_;
  }

 private:
  float* data_ = nullptr;  // kept to the end of the process, when the context may be gone already
  Index size_ = 0;
};

/// One handle a process, on the legacy default stream, which waits for and is waited for by Kokkos' stream.
cublasHandle_t handle() {
  static const cublasHandle_t made = [] {
    cublasHandle_t h = nullptr;
    void* workspace = nullptr;
    check_cublas(cublasCreate(&h), "cublasCreate");
    check_cublas(cublasSetMathMode(h, CUBLAS_PEDANTIC_MATH), "cublasSetMathMode");
    check_cuda(cudaMalloc(&workspace, workspace_bytes), "cudaMalloc");
    check_cublas(cublasSetWorkspace(h, workspace, workspace_bytes), "cublasSetWorkspace");
    return h;
  }();
  return made;
}

void zero(float* to, Index n) { check_cuda(cudaMemsetAsync(to, 0, n * sizeof(float), nullptr), "cudaMemsetAsync"); }

void copy(const float* from, Index n, float* to) {
  check_cuda(cudaMemcpyAsync(to, from, n * sizeof(float), cudaMemcpyDeviceToDevice, nullptr), "cudaMemcpyAsync");
}

/// C(m, n) = A(m, k)·B(k, n) + beta·C, all row-major, A or B stored transposed where said: cuBLAS computes Cᵀ = Bᵀ·Aᵀ
/// by columns.
struct Product {
  Index m, n, k;
  bool a_transposed, b_transposed;
};

void multiply(const Product& p, const float* a, const float* b, float* c, float beta) {
  if (p.m * p.n * p.k == 0) {  // cuBLAS refuses a leading dimension of 0
    if (beta == 0.0f) zero(c, p.m * p.n);
    return;
  }
  const float one = 1.0f;
  const auto b_stride = static_cast<int>(p.b_transposed ? p.k : p.n),
             a_stride = static_cast<int>(p.a_transposed ? p.m : p.k);
  check_cublas(cublasSgemm(handle(), p.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                           p.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N, static_cast<int>(p.n), static_cast<int>(p.m),
                           static_cast<int>(p.k), &one, b, b_stride, a, a_stride, &beta, c, static_cast<int>(p.n)),
               "cublasSgemm");
}

constexpr Index alignment = 64;  // bytes that every operand is aligned to
bool aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % alignment == 0; }
Index rounded(Index floats) { return (floats + 63) / 64 * 64; }

/// `p`, or a copy of it in `staged` where it is not aligned or has to be filled up with zeros to `full` floats.
const float* stage(const float* p, Index n, Index full, float* staged) {
  if (n == full && aligned(p)) return p;
  copy(p, n, staged);
  zero(staged + n, full - n);
  return staged;
}

/// y(rows, out) = x(rows, in)·W for the rows of each group, in blocks of block_rows.
void by_blocks(const Groups& groups, const Product& shape, const float* x, const float* w, float* y, Write write) {
  static Scratch memory;
  const Index in = shape.k, out = shape.n, matrix = in * out, stride = matrix_stride(groups, in, out);
  float* staged_x = memory.floats(rounded(block_rows * in) + rounded(block_rows * out) + matrix);
  float* staged_y = staged_x + rounded(block_rows * in);
  float* staged_w = staged_y + rounded(block_rows * out);
  const float beta = write == Write::add ? 1.0f : 0.0f;
  for (int e = 0; e < groups.count; ++e) {
    const Index last = groups.offsets[e + 1];
    if (last == groups.offsets[e]) continue;
    const float* weights = stage(w + e * stride, matrix, matrix, staged_w);
    for (Index row = groups.offsets[e]; row < last; row += block_rows) {
      const Index rows = std::min(block_rows, last - row);
      const bool direct = rows == block_rows && aligned(y + row * out);
      float* result = direct ? y + row * out : staged_y;
      if (!direct && write == Write::add) copy(y + row * out, rows * out, staged_y);
      multiply(shape, stage(x + row * in, rows * in, block_rows * in, staged_x), weights, result, beta);
      if (!direct) copy(staged_y, rows * out, y + row * out);
    }
  }
}

/// Rows [first, last) of dY and X to one partial gradient. (Seven arguments, those of a product.)
void partial_gradient(Index first, Index last, Index n, Index k, const float* dy, const float* x, float* dw) {
  static Scratch memory;
  const Index rows = last - first;
  if (rows == 0) return zero(dw, n * k);
  const bool direct = aligned(dy + first * n) && aligned(x + first * k);
  float* staged = direct ? nullptr : memory.floats(rounded(rows * n) + rows * k);
  const float* own_dy = direct ? dy + first * n : stage(dy + first * n, rows * n, rows * n, staged);
  const float* own_x = direct ? x + first * k : stage(x + first * k, rows * k, rows * k, staged + rounded(rows * n));
  multiply({n, k, rows, true, false}, own_dy, own_x, dw, 0.0f);
}

/// into += from, along the tree.
void add(const float* from, Index n, float* into) {
  const float one = 1.0f;
  check_cublas(cublasSaxpy(handle(), static_cast<int>(n), &one, from, 1, into, 1), "cublasSaxpy");
}

}  // namespace

void forward(const Groups& groups, Index n, Index k, const float* x, const float* w, float* y, Write write) {
  by_blocks(groups, {block_rows, n, k, false, true}, x, w, y, write);
}

void input_gradient(const Groups& groups, Index n, Index k, const float* dy, const float* w, float* dx, Write write) {
  by_blocks(groups, {block_rows, k, n, false, false}, dy, w, dx, write);
}

void weight_gradient(const GrainGroups& groups, Index n, Index k, const float* dy, const float* x, float* dw,
                     Index node_stride) {
  static Scratch memory;  // finished subtrees that wait for their right neighbour
  const Index matrix = n * k, slot = rounded(matrix), stride = matrix_stride(groups, n, k);
  float* stack = memory.floats(slot * (1 + std::bit_width(static_cast<unsigned>(groups.grains))));
  for (int e = 0; e < groups.count; ++e) {
    const Index* offset = groups.offsets + Index{e} * groups.grains;
    for (std::size_t t = 0; t < groups.nodes->size(); ++t) {
      int height = 0;
      for (int leaf = 0; leaf < (*groups.nodes)[t].size; ++leaf, ++offset) {
        partial_gradient(offset[0], offset[1], n, k, dy, x, stack + height * slot);
        for (int merges = std::countr_one(static_cast<unsigned>(leaf)); merges > 0; --merges, --height)
          add(stack + height * slot, matrix, stack + (height - 1) * slot);
        ++height;
      }
      copy(stack, matrix, dw + static_cast<Index>(t) * node_stride + e * stride);
    }
  }
}

std::string bits_depend_on() {
  int device = 0, major = 0, minor = 0, version = 0;
  check_cublas(cublasGetVersion(handle(), &version), "cublasGetVersion");  // of the library that is loaded
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

}  // namespace switchyard::blas
