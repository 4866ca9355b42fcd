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
  int processors;        ///< multiprocessors of the device
  std::byte* workspace;  ///< workspace_bytes of them
};
constexpr std::int64_t workspace_bytes = std::int64_t{1} << 20;

/// One CUTLASS kernel each, in an object of its own: bf16 operands, sums in floats.
void cutlass_weight_gradient_many(const GroupLaunch& launch);  ///< rows a group
void cutlass_weight_gradient_few(const GroupLaunch& launch);

/// Where an operand of even groups lies: rows `stride` elements apart, group after group `next`.
struct EvenOperand {
  std::byte* data;
  std::int64_t stride, next;
};

/// Groups of one size that the host knows, at equal distances.
struct EvenLaunch {
  cudaStream_t stream;
  int m, n, k, groups;
  EvenOperand a, b, d;
  int processors;
};

/// The same product of such groups where the matrices are small: one launch, without tables.
void cutlass_even_weight_gradient(const EvenLaunch& launch);

}  // namespace switchyard::products
