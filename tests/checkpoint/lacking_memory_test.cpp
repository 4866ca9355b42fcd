// ranks: 1 2 3 4 5
// Memory for writing a checkpoint that a rank does not get. Apart, since sanitizers see what Kokkos leaks where an
// allocation is refused.
#include <gtest/gtest.h>

#include <new>

#include "layouts.hpp"

namespace switchyard::checkpoint::testing {
namespace {

const char* lacking = nullptr;  ///< label of memory that this rank does not get

void refuse(const Kokkos_Profiling_SpaceHandle, const char* label, const void*, const std::uint64_t) {
  if (lacking && std::string(label) == lacking) throw std::bad_alloc();
}

// Before anything is sent, so that no rank waits for the one that fails; the next checkpoint is whole.
TEST(Checkpoint, MemoryThatOneRankLacksEndsAllOfThem) {
  const Shape shape{world().size(), world().size(), true, 0, fixtures::long_tensors_of}, wide{world().size(), 1, true};
  for (const Shape& of : {shape, wide})
    for (const char* label : {"checkpoint::collected", "checkpoint::received"}) {
      if (label == std::string("checkpoint::received") && of.expert_parallel == 1) continue;  // there is none
      const SharedFolder run;
      if (world().rank() == 0) lacking = label;
      Kokkos::Tools::Experimental::set_allocate_data_callback(refuse);
      try {
        save(of, run.path(), 40, 10);
        ADD_FAILURE() << of << ": saved without " << label;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), Exit::memory) << error.what();
      }
      Kokkos::Tools::Experimental::set_allocate_data_callback(nullptr);
      lacking = nullptr;
      save(of, run.path(), 40, 20);
      EXPECT_EQ(load(of, run.path(), 40), 0);
    }
}

}  // namespace
}  // namespace switchyard::checkpoint::testing
