// A grouped product by CUTLASS on Hopper: TMA, warp-specialised, sizes from device memory. For the objects of one
// kernel each, cutlass_*_cuda.cpp; each names its kernel in a namespace of its own, since a compiler's stubs of equal
// names would meet.
#pragma once
#include "tensor/products/cutlass_cuda.hpp"

namespace switchyard::products {

/// Two warp groups that take turns at tiles, or share each.
struct Pingpong {
  using Mainloop = cutlass::gemm::KernelPtrArrayTmaWarpSpecializedPingpong;
  using Epilogue = cutlass::epilogue::PtrArrayTmaWarpSpecializedPingpong;
};
struct Cooperative {
  using Mainloop = cutlass::gemm::KernelPtrArrayTmaWarpSpecializedCooperative;
  using Epilogue = cutlass::epilogue::PtrArrayTmaWarpSpecializedCooperative;
};

template <int m, int n>
using Extent = cute::Shape<cute::Int<m>, cute::Int<n>, cute::Int<64>>;
template <int m>
using Cluster = cute::Shape<cute::Int<m>, cute::Int<1>, cute::Int<1>>;

/// Layouts of A and B in CUTLASS' words, the element of D, and how the kernel is built.
template <class A, class B, class D, class Tile, class ClusterShape, class Turns>
struct GroupedKernel {
  using Problem = cutlass::gemm::GroupProblemShape<cute::Shape<int, int, int>>;
  using In = cutlass::bfloat16_t;
  using Rows = cutlass::layout::RowMajor;
  static constexpr int in_vector = 16 / sizeof(In), out_vector = 16 / sizeof(D);
  using Epilogue = typename cutlass::epilogue::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, Tile, ClusterShape,
      cutlass::epilogue::collective::EpilogueTileAuto, float, float, D, Rows*, out_vector, D, Rows*, out_vector,
      typename Turns::Epilogue, cutlass::epilogue::fusion::LinearCombination<D, float>>::CollectiveOp;
  using Mainloop = typename cutlass::gemm::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, In, A*, in_vector, In, B*, in_vector, float, Tile,
      ClusterShape,
      cutlass::gemm::collective::StageCountAutoCarveout<static_cast<int>(sizeof(typename Epilogue::SharedStorage))>,
      typename Turns::Mainloop>::CollectiveOp;
  using Gemm =
      cutlass::gemm::device::GemmUniversalAdapter<cutlass::gemm::kernel::GemmUniversal<Problem, Mainloop, Epilogue>>;
};

/// The tables as the kernel's own types: its strides have one number each.
template <class Gemm>
typename Gemm::Arguments arguments_of(const GroupLaunch& launch) {
  using Kernel = typename Gemm::GemmKernel;
  using Shape = cute::Shape<int, int, int>;
  using D = typename Kernel::ElementD;
  using In = typename Kernel::ElementA;
  using StrideA = std::remove_pointer_t<typename Kernel::StrideA>;
  using StrideB = std::remove_pointer_t<typename Kernel::StrideB>;
  using StrideD = std::remove_pointer_t<typename Kernel::StrideD>;
  static_assert(sizeof(Shape) == 3 * sizeof(int) && sizeof(StrideA) == sizeof(std::int64_t) &&
                sizeof(StrideB) == sizeof(std::int64_t) && sizeof(StrideD) == sizeof(std::int64_t));
  const GroupTables& t = launch.tables;
  const auto to = reinterpret_cast<D**>(t.d);
  const auto to_stride = reinterpret_cast<StrideD*>(t.d_stride);
  return {cutlass::gemm::GemmUniversalMode::kGrouped,
          {launch.groups, reinterpret_cast<Shape*>(t.shapes), nullptr},
          {const_cast<const In**>(reinterpret_cast<In**>(t.a)), reinterpret_cast<StrideA*>(t.a_stride),
           const_cast<const In**>(reinterpret_cast<In**>(t.b)), reinterpret_cast<StrideB*>(t.b_stride)},
          {{}, const_cast<const D**>(to), to_stride, to, to_stride},
          {}};
}

/// D = A·B; tiles run along the columns of D.
template <class Gemm>
void launch_grouped(const GroupLaunch& launch) {
  typename Gemm::Arguments arguments = arguments_of<Gemm>(launch);
  arguments.epilogue.thread.alpha = 1.0f, arguments.epilogue.thread.beta = 0.0f;
  arguments.hw_info.sm_count = launch.processors;
  arguments.scheduler.raster_order = std::remove_reference_t<decltype(arguments.scheduler.raster_order)>::AlongN;
  arguments.scheduler.max_swizzle_size = 1;
  expect(static_cast<std::int64_t>(Gemm::get_workspace_size(arguments)) <= workspace_bytes,
         "workspace of a CUTLASS kernel");
  Gemm gemm;
  check_cutlass(gemm.initialize(arguments, launch.workspace, launch.stream), "initialize");
  check_cutlass(gemm.run(launch.stream), "run");
}

}  // namespace switchyard::products
