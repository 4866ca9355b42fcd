// A product of even groups by CUTLASS on Hopper, sizes from the host: what a small dense product costs is its launch.
// For the objects of one kernel each, as cutlass_grouped_cuda.hpp.
#pragma once
#include "tensor/products/cutlass_cuda.hpp"

namespace switchyard::products {

/// Layouts of A and B in CUTLASS' words, and the element of D; tiles of (64, 128).
template <class A, class B, class D>
struct EvenKernel {
  using In = cutlass::bfloat16_t;
  using Rows = cutlass::layout::RowMajor;
  using Tile = cute::Shape<cute::Int<64>, cute::Int<128>, cute::Int<64>>;
  using Cluster = cute::Shape<cute::Int<1>, cute::Int<1>, cute::Int<1>>;
  static constexpr int in_vector = 16 / sizeof(In), out_vector = 16 / sizeof(D);
  using Epilogue = typename cutlass::epilogue::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, Tile, Cluster,
      cutlass::epilogue::collective::EpilogueTileAuto, float, float, D, Rows, out_vector, D, Rows, out_vector,
      cutlass::epilogue::TmaWarpSpecialized, cutlass::epilogue::fusion::LinearCombination<D, float>>::CollectiveOp;
  using Mainloop = typename cutlass::gemm::collective::CollectiveBuilder<
      cutlass::arch::Sm90, cutlass::arch::OpClassTensorOp, In, A, in_vector, In, B, in_vector, float, Tile, Cluster,
      cutlass::gemm::collective::StageCountAutoCarveout<static_cast<int>(sizeof(typename Epilogue::SharedStorage))>,
      cutlass::gemm::KernelTmaWarpSpecializedPingpong>::CollectiveOp;
  using Gemm = cutlass::gemm::device::GemmUniversalAdapter<
      cutlass::gemm::kernel::GemmUniversal<cute::Shape<int, int, int, int>, Mainloop, Epilogue>>;
};

/// A stride of CUTLASS: of rows or of columns, then of groups; the other is 1.
template <class Stride>
Stride stride_of(const EvenOperand& o) {
  Stride stride{};
  if constexpr (cute::is_static<std::remove_cvref_t<decltype(cute::get<0>(stride))>>::value)
    cute::get<1>(stride) = o.stride;
  else
    cute::get<0>(stride) = o.stride;
  cute::get<2>(stride) = o.next;
  return stride;
}

/// D = A·B.
template <class Gemm>
void launch_even(const EvenLaunch& l) {
  using Kernel = typename Gemm::GemmKernel;
  using D = typename Kernel::ElementD;
  const auto a = reinterpret_cast<const typename Kernel::ElementA*>(l.a.data);
  const auto b = reinterpret_cast<const typename Kernel::ElementB*>(l.b.data);
  const auto d = reinterpret_cast<D*>(l.d.data);
  const auto d_stride = stride_of<typename Kernel::StrideD>(l.d);
  typename Gemm::Arguments arguments{
      cutlass::gemm::GemmUniversalMode::kGemm,
      {l.m, l.n, l.k, l.groups},
      {a, stride_of<typename Kernel::StrideA>(l.a), b, stride_of<typename Kernel::StrideB>(l.b)},
      {{}, d, d_stride, d, d_stride},
      {}};
  arguments.epilogue.thread.alpha = 1.0f, arguments.epilogue.thread.beta = 0.0f;
  arguments.hw_info.sm_count = l.processors;
  expect(Gemm::get_workspace_size(arguments) == 0, "a CUTLASS kernel without a workspace");
  Gemm gemm;
  check_cutlass(gemm.initialize(arguments, nullptr, l.stream), "initialize");
  check_cutlass(gemm.run(l.stream), "run");
}

}  // namespace switchyard::products
