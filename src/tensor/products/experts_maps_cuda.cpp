// Tensor maps and the choice of tiles.
#include <cudaTypedefs.h>

#include "base/check.hpp"
#include "tensor/check_cuda.hpp"
#include "tensor/products/experts_launch_cuda.hpp"

namespace switchyard::products::experts {

namespace {

/// The driver's cuTensorMapEncodeTiled, without linking the driver.
PFN_cuTensorMapEncodeTiled_v12000 encoder() {
  static const auto found = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult result{};
    check_cuda(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result),
               "cudaGetDriverEntryPointByVersion");
    expect(result == cudaDriverEntryPointSuccess && function, "a driver with cuTensorMapEncodeTiled");
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
  }();
  return found;
}

/// `strides` in bytes, of all dimensions but the first.
template <int rank>
CUtensorMap encode(const __nv_bfloat16* data, const cuuint64_t (&sizes)[rank], const cuuint64_t (&strides)[rank - 1],
                   int box_rows) {
  CUtensorMap map{};
  cuuint32_t box[rank] = {depth_step, static_cast<cuuint32_t>(box_rows)}, steps[rank];
  if (rank == 3) box[rank - 1] = 1;
  for (auto& s : steps) s = 1;
  const CUresult result =
      encoder()(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rank, const_cast<__nv_bfloat16*>(data), sizes, strides, box,
                steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  expect(result == CUDA_SUCCESS, "operands that a tensor map can describe (16-byte alignment)");
  return map;
}

}  // namespace

CUtensorMap matrix_map(const __nv_bfloat16* data, std::int64_t rows, int columns, std::int64_t stride, int box_rows) {
  return encode<2>(data, {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)},
                   {static_cast<cuuint64_t>(stride) * sizeof(__nv_bfloat16)}, box_rows);
}

CUtensorMap matrices_map(const Matrices& matrices, int count, int rows, int columns, int box_rows) {
  const auto width = static_cast<cuuint64_t>(columns), height = static_cast<cuuint64_t>(rows);
  const cuuint64_t stride = matrices.stride ? static_cast<cuuint64_t>(matrices.stride) : width;
  const cuuint64_t next = count > 1 ? static_cast<cuuint64_t>(matrices.next) : stride * height;
  return encode<3>(matrices.data, {width, height, static_cast<cuuint64_t>(count)},
                   {stride * sizeof(__nv_bfloat16), next * sizeof(__nv_bfloat16)}, box_rows);
}

int multiprocessors() {
  static const int count = [] {
    int device = 0, value = 0;
    check_cuda(cudaGetDevice(&device), "cudaGetDevice");
    check_cuda(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
    return value;
  }();
  return count;
}

int make_ready(const void* kernel, int size, int shared_bytes) {
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes),
             "cudaFuncSetAttribute");
  if (size == 1) return multiprocessors();
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = static_cast<unsigned>(size), cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(size)), config.blockDim = dim3(threads);
  config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes);
  config.attrs = &cluster, config.numAttrs = 1;
  int count = 0;
  check_cuda(cudaOccupancyMaxActiveClusters(&count, kernel, &config), "cudaOccupancyMaxActiveClusters");
  expect(count > 0, "room for a cluster");
  return count;
}

void check_call(const Call& call) {
  expect(call.experts >= 0 && call.experts <= max_experts, "at most 1024 experts");
  expect(call.rows >= 0 && call.rows < (std::int64_t{1} << 31) - 256, "fewer than 2^31 rows");
}

/// By columns, depth and the mean load, as measured on an H200 (dev/experts_check.cu). All shapes give the same bits,
/// so that only time depends on it.
TileShape choose(const Call& call, int columns, int depth, int least) {
  if (call.tile != TileShape::automatic) return call.tile;
  const std::int64_t mean = call.rows / call.experts;
  const auto whole = [&](int tile) { return std::int64_t{columns + tile - 1} / tile * tile; };
  const std::int64_t flats = (call.rows / 64 + 1) * (whole(256) / 256);
  const std::int64_t smalls = (call.rows / 64 + call.experts) * (whole(128) / 128);
  if (least <= 64 && smalls < multiprocessors()) return TileShape::tiny;  // more of them work
  if (depth <= 256 || flats < 2 * multiprocessors()) return TileShape::small;
  if (5 * whole(128) <= 4 * whole(256)) return TileShape::square;  // 0.8 of the speed of tall
  return mean <= 96 ? TileShape::flat : TileShape::tall;
}

}  // namespace switchyard::products::experts
