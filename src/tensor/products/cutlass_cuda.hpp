// What the objects of CUTLASS kernels include.
#pragma once
#include <cuda_runtime_api.h>
#include <cutlass/cutlass.h>
#include <cutlass/gemm/device/gemm_universal_adapter.h>

#include <cute/tensor.hpp>
#include <cutlass/epilogue/collective/collective_builder.hpp>
#include <cutlass/epilogue/dispatch_policy.hpp>
#include <cutlass/gemm/collective/collective_builder.hpp>
#include <cutlass/gemm/dispatch_policy.hpp>
#include <cutlass/gemm/kernel/gemm_universal.hpp>

#include "base/check.hpp"
#include "tensor/products/group_launch_cuda.hpp"

namespace switchyard::products {

inline void check_cutlass(cutlass::Status status, const char* call) {
  check(status == cutlass::Status::kSuccess, Exit::internal,
        std::string(call) + " failed (" + cutlass::cutlassGetStatusString(status) + ")");
}

}  // namespace switchyard::products
