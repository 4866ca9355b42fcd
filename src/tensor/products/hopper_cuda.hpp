// The instructions of NVIDIA's Hopper that C++ has no names for: barriers in shared memory, the copy engine (TMA), and
// products of warpgroups (wgmma). Addresses of shared memory are 32-bit; operand tiles have rows of 128 bytes in the
// 128-byte swizzle (16-byte piece c of row r lies at piece c ^ (r mod 8)) and begin at multiples of 1024 bytes.
#pragma once
#include <cuda.h>
#include <cuda_bf16.h>

#include <cstdint>

namespace switchyard::products::hopper {

__device__ __forceinline__ std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

// Barriers.

__device__ __forceinline__ void barrier_init(std::uint32_t barrier, std::uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

/// Makes barriers just set up visible to the copy engine; a __syncthreads() follows.
__device__ __forceinline__ void barrier_init_done() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

__device__ __forceinline__ void arrive(std::uint32_t barrier) {
  asm volatile("{ .reg .b64 s; mbarrier.arrive.shared::cta.b64 s, [%0]; }" ::"r"(barrier) : "memory");
}

/// Arrives, and makes the phase wait for `bytes` of the copy engine too.
__device__ __forceinline__ void arrive_expecting(std::uint32_t barrier, std::uint32_t bytes) {
  asm volatile("{ .reg .b64 s; mbarrier.arrive.expect_tx.shared::cta.b64 s, [%0], %1; }" ::"r"(barrier), "r"(bytes)
               : "memory");
}

__device__ __forceinline__ bool has_passed(std::uint32_t barrier, std::uint32_t parity) {
  std::uint32_t passed;
  asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
               : "=r"(passed)
               : "r"(barrier), "r"(parity)
               : "memory");
  return passed != 0;
}

/// Cycles after which a wait is an error of ours: a hang would hold the device for ever.
constexpr long long patience = 8'000'000'000;

/// Waits for the phase of `parity`. After `patience` writes `place` to `hang` (host-mapped memory, or null) and traps.
/// No printf: a call in a function with wgmma makes ptxas serialise them.
__device__ __forceinline__ void wait(std::uint32_t barrier, std::uint32_t parity, std::uint32_t* hang,
                                     std::uint32_t place) {
  if (has_passed(barrier, parity)) return;
  const long long start = clock64();
  while (!has_passed(barrier, parity)) {
    if (clock64() - start < patience) continue;
    if (hang) *static_cast<volatile std::uint32_t*>(hang) = place;
    __threadfence_system();
    __trap();
  }
}

// Clusters: blocks whose shared memory the copy engine and barriers reach too.

__device__ __forceinline__ std::uint32_t cluster_rank() {
  std::uint32_t rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

/// Waits for all threads of the cluster that have not ended.
__device__ __forceinline__ void cluster_sync() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/// The address, in the cluster, of what stands in block `rank` where `address` is here.
__device__ __forceinline__ std::uint32_t map_shared(std::uint32_t address, std::uint32_t rank) {
  std::uint32_t there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
  return there;
}

__device__ __forceinline__ float4 read_shared(std::uint32_t there) {
  float4 v;
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "r"(there)
               : "memory");
  return v;
}

/// Arrives at the barrier of block `rank` of the cluster that stands where `barrier` does here. Release is that of the
/// block: that of the cluster is a fence of all memory (MEMBAR.GPU), which would wait for the stores of epilogues, and
/// what is told is that wgmma has read, which its wait orders.
__device__ __forceinline__ void arrive_at(std::uint32_t barrier, std::uint32_t rank) {
  asm volatile(
      "{ .reg .b32 there; mapa.shared::cluster.u32 there, %0, %1;"
      "mbarrier.arrive.shared::cluster.b64 _, [there]; }" ::"r"(barrier),
      "r"(rank)
      : "memory");
}

// Copies into shared memory.

/// Orders ordinary writes to shared memory that this thread made, or has seen a barrier tell of, before reads by the
/// wgmma that it issues later.
__device__ __forceinline__ void fence_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

__device__ __forceinline__ void prefetch_map(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/// A box of a matrix, (x, y) its first column and row, beyond the edges zeros.
__device__ __forceinline__ void copy_box(std::uint32_t to, const CUtensorMap* map, std::uint32_t barrier, int x,
                                         int y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(
          to),
      "l"(map), "r"(barrier), "r"(x), "r"(y)
      : "memory");
}

/// A box of matrix z of an array of matrices.
__device__ __forceinline__ void copy_box(std::uint32_t to, const CUtensorMap* map, std::uint32_t barrier, int x, int y,
                                         int z) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::
          "r"(to),
      "l"(map), "r"(barrier), "r"(x), "r"(y), "r"(z)
      : "memory");
}

/// The same to both blocks of a cluster of two, at the same place, each block's own `barrier` told.
__device__ __forceinline__ void copy_box_to_both(std::uint32_t to, const CUtensorMap* map, std::uint32_t barrier, int x,
                                                 int y, int z) {
  constexpr std::uint16_t both = 3;
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster"
      " [%0], [%1, {%3, %4, %5}], [%2], %6;" ::"r"(to),
      "l"(map), "r"(barrier), "r"(x), "r"(y), "r"(z), "h"(both)
      : "memory");
}

/// 16 bytes by this thread, or 16 zeros: `bytes` is 16 or 0. The cache fetches 256 bytes, as for boxes: rows are read
/// on by the steps that follow.
__device__ __forceinline__ void copy_16(std::uint32_t to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}

/// Arrives once all 16-byte copies that this thread has begun have ended; at once if there are none.
__device__ __forceinline__ void arrive_after_copies(std::uint32_t barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
}

// Products of a warpgroup.

template <int registers>
__device__ __forceinline__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(registers));
}

template <int registers>
__device__ __forceinline__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(registers));
}

/// Descriptor of an operand tile. Rows along the depth: `stride` = 1024 bytes from 8 rows to the next 8, `leading` is
/// not used. Rows across it (64 elements of the other index, one row for each step of the depth): `leading` bytes from
/// 64 elements to the next 64, `stride` = 1024 bytes from 8 steps of the depth to the next 8.
__device__ __forceinline__ std::uint64_t descriptor(std::uint32_t address, std::uint32_t leading,
                                                    std::uint32_t stride) {
  constexpr std::uint64_t swizzle_128 = 1;
  return static_cast<std::uint64_t>((address & 0x3FFFF) >> 4) | static_cast<std::uint64_t>(leading >> 4) << 16 |
         static_cast<std::uint64_t>(stride >> 4) << 32 | swizzle_128 << 62;
}

__device__ __forceinline__ void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

/// Waits until at most `left` of the committed groups are being computed.
template <int left>
__device__ __forceinline__ void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(left) : "memory");
}

/// Keeps the compiler from reading or moving d across this point.
template <int n>
__device__ __forceinline__ void hold(float (&d)[n]) {
#pragma unroll
  for (int i = 0; i < n; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

// clang-format off: lists of registers.
#define SWITCHYARD_FLOATS_4(d, o) "+f"(d[o]), "+f"(d[o + 1]), "+f"(d[o + 2]), "+f"(d[o + 3])
#define SWITCHYARD_FLOATS_16(d, o)                                                         \
  SWITCHYARD_FLOATS_4(d, o), SWITCHYARD_FLOATS_4(d, o + 4), SWITCHYARD_FLOATS_4(d, o + 8), \
      SWITCHYARD_FLOATS_4(d, o + 12)

// across_a, across_b: 1 where the tile of a or b has its rows across the depth, 0 where along it.

/// d(64, 64) = a·b + (accumulate ? d : 0) over 16 of the depth, for a warpgroup.
template <int across_a, int across_b>
__device__ __forceinline__ void multiply(float (&d)[32], std::uint64_t a, std::uint64_t b, int accumulate) {
  asm volatile(
      "{ .reg .pred p; setp.ne.b32 p, %34, 0;"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, "
      "%22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
      "}, %32, %33, p, 1, 1, %35, %36; }"
      : SWITCHYARD_FLOATS_16(d, 0), SWITCHYARD_FLOATS_16(d, 16)
      : "l"(a), "l"(b), "r"(accumulate), "n"(across_a), "n"(across_b));
}

/// d(64, 128) = a·b + (accumulate ? d : 0) over 16 of the depth, for a warpgroup.
template <int across_a, int across_b>
__device__ __forceinline__ void multiply(float (&d)[64], std::uint64_t a, std::uint64_t b, int accumulate) {
  asm volatile(
      "{ .reg .pred p; setp.ne.b32 p, %66, 0;"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, "
      "%22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, "
      "%42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "
      "%62, %63"
      "}, %64, %65, p, 1, 1, %67, %68; }"
      : SWITCHYARD_FLOATS_16(d, 0), SWITCHYARD_FLOATS_16(d, 16), SWITCHYARD_FLOATS_16(d, 32),
        SWITCHYARD_FLOATS_16(d, 48)
      : "l"(a), "l"(b), "r"(accumulate), "n"(across_a), "n"(across_b));
}

/// d(64, 256) = a·b + (accumulate ? d : 0) over 16 of the depth, for a warpgroup.
template <int across_a, int across_b>
__device__ __forceinline__ void multiply(float (&d)[128], std::uint64_t a, std::uint64_t b, int accumulate) {
  asm volatile(
      "{ .reg .pred p; setp.ne.b32 p, %130, 0;"
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, "
      "%22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, "
      "%42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, "
      "%62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, "
      "%82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, "
      "%101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, "
      "%117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
      "}, %128, %129, p, 1, 1, %131, %132; }"
      : SWITCHYARD_FLOATS_16(d, 0), SWITCHYARD_FLOATS_16(d, 16), SWITCHYARD_FLOATS_16(d, 32),
        SWITCHYARD_FLOATS_16(d, 48), SWITCHYARD_FLOATS_16(d, 64), SWITCHYARD_FLOATS_16(d, 80),
        SWITCHYARD_FLOATS_16(d, 96), SWITCHYARD_FLOATS_16(d, 112)
      : "l"(a), "l"(b), "r"(accumulate), "n"(across_a), "n"(across_b));
}

#undef SWITCHYARD_FLOATS_16
#undef SWITCHYARD_FLOATS_4
// clang-format on

}  // namespace switchyard::products::hopper
