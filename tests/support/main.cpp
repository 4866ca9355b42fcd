// The one main of all tests: MPI before Kokkos, finalized in reverse; the exit code is the worst of all ranks; ranks
// above 0 print failures only.
#include <gtest/gtest.h>
#include <mpi.h>

#include <Kokkos_Core.hpp>
#include <cstdio>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

namespace {

class FailuresOnly : public testing::EmptyTestEventListener {
  void OnTestPartResult(const testing::TestPartResult& r) override {
    if (r.failed()) std::fprintf(stderr, "[rank %d] %s:%d %s\n", rank(), r.file_name(), r.line_number(), r.summary());
  }
  static int rank() {
    int r = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &r);
    return r;
  }
};

// Leaks are looked for before MPI_Finalize, and not in what MPI_Init allocates: what Open MPI and its unloaded
// components leave behind is none of ours.
#ifdef __SANITIZE_ADDRESS__
struct LeaksIgnored {
  LeaksIgnored() { __lsan_disable(); }
  ~LeaksIgnored() { __lsan_enable(); }
};
bool leaks() { return __lsan_do_recoverable_leak_check() != 0; }
#else
struct LeaksIgnored {
  LeaksIgnored() {}
};
bool leaks() { return false; }
#endif

void start_mpi(int& argc, char**& argv) {
  const LeaksIgnored ignored;
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
}

constexpr int skipped = 77;  // SKIP_RETURN_CODE of tests/CMakeLists.txt

bool needs_absent_gpu() {
#ifdef KOKKOS_ENABLE_CUDA
  int devices = 0;
  return cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0;
#else
  return false;
#endif
}

}  // namespace

#ifdef __SANITIZE_ADDRESS__
extern "C" const char* __lsan_default_options() { return "leak_check_at_exit=0"; }
// What PMIx looks up for Open MPI when a rank first talks to another one.
extern "C" const char* __lsan_default_suppressions() { return "leak:libpmix.so"; }
#endif

int main(int argc, char** argv) {
  start_mpi(argc, argv);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  testing::InitGoogleTest(&argc, argv);
  if (needs_absent_gpu()) {
    if (rank == 0) std::puts("skipped: this build needs an NVIDIA GPU and this machine has none");
    MPI_Finalize();
    return skipped;
  }
  int result = 0;
  {
    Kokkos::ScopeGuard kokkos(argc, argv);
    if (rank > 0) {
      auto& listeners = testing::UnitTest::GetInstance()->listeners();
      delete listeners.Release(listeners.default_result_printer());
      listeners.Append(new FailuresOnly);
    }
    result = RUN_ALL_TESTS();
  }
  if (leaks()) result = 1;
  MPI_Allreduce(MPI_IN_PLACE, &result, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  MPI_Finalize();
  return result;
}
