// What the objects of CUTLASS kernels share with the rest: no Kokkos here, since they take long enough to compile.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace switchyard::products {

/// The tables that CUTLASS reads, one entry a group, device memory.
struct GroupTables {
  int* shapes;  ///< (groups, 3) m, n, k
  std::byte **a, **b, **d;
  std::int64_t *a_stride, *b_stride, *d_stride;
};
constexpr std::int64_t table_bytes =
    3 * sizeof(int) + 3 * sizeof(std::byte*) + 3 * sizeof(std::int64_t);  ///< of one group

/// What a CUTLASS kernel is launched with.
struct GroupLaunch {
  cudaStream_t stream;
  int groups;
  GroupTables tables;
  bool add;
  int processors;        ///< multiprocessors of the device
  std::byte* workspace;  ///< workspace_bytes of them
};
constexpr std::int64_t workspace_bytes = std::int64_t{1} << 20;

/// One CUTLASS kernel each, in an object of its own: bf16 operands, sums in floats, results as named.
void cutlass_forward_bf16(const GroupLaunch& launch);
void cutlass_forward_float(const GroupLaunch& launch);
void cutlass_input_gradient_bf16(const GroupLaunch& launch);
void cutlass_input_gradient_float(const GroupLaunch& launch);
void cutlass_weight_gradient_many(const GroupLaunch& launch);  ///< rows a group
void cutlass_weight_gradient_few(const GroupLaunch& launch);

}  // namespace switchyard::products
