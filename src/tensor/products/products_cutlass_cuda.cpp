// Matrix products on an NVIDIA GPU of the Hopper architecture: Bf16 by kernels of our own (experts_cuda.hpp), weight
// gradients by CUTLASS, or by ours where matrices are small or grains have few rows (grouped_cuda.cpp says which);
// floats in single precision in tiles of our own, but beside rows of Bf16 on tensor cores too (split_cuda.hpp).
//
// Layout invariance: which kernel makes an element depends on widths, strides and elements only, a kernel sums over the
// depth in one order, and no sum is split; so neither the number of rows nor their place changes a bit. Weight
// gradients are one product a (network, grain), or a part of a grain that its configured rows say, and additions along
// the tree.
#include <cuda_runtime_api.h>
#include <cutlass/version.h>

#include <string>

#include "base/check.hpp"
#include "tensor/check_cuda.hpp"
#include "tensor/products/grouped_cuda.hpp"
#include "tensor/products/library.hpp"

namespace switchyard::products {

struct Workspace {
  explicit Workspace(const Device& space) : products(space.cuda_stream()) {}
  GroupedProducts products;
};

std::shared_ptr<Workspace> make_workspace(const Device& space) { return std::make_shared<Workspace>(space); }

void forward(const Queue& queue, const Segments& segments, const Tensor& x, const Weights& w, const Tensor& y,
             Write write) {
  queue.workspace().products.rows(Kind::forward, segments, x, w, y, write);
}

void input_gradient(const Queue& queue, const Segments& segments, const Tensor& dy, const Weights& w, const Tensor& dx,
                    Write write) {
  queue.workspace().products.rows(Kind::input_gradient, segments, dy, w, dx, write);
}

void weight_gradient(const Queue& queue, const GrainSegments& segments, const Tensor& dy, const Tensor& x,
                     const Gradients& dw) {
  queue.workspace().products.weight_gradient(segments, dy, x, dw);
}

std::string bits_depend_on() {
  int device = 0, major = 0, minor = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  check_cuda(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device), "cudaDeviceGetAttribute");
  check_cuda(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device), "cudaDeviceGetAttribute");
  return std::string(description()) + ", compute capability " + std::to_string(major) + "." + std::to_string(minor);
}

const char* description() {
  static const std::string text = "own kernels for bf16, large weight gradients by CUTLASS " +
                                  std::to_string(CUTLASS_MAJOR) + "." + std::to_string(CUTLASS_MINOR) + "." +
                                  std::to_string(CUTLASS_PATCH) + ", own tiles for fp32";
  return text.c_str();
}

}  // namespace switchyard::products
