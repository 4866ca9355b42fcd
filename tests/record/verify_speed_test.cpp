// What verify asks of HDF5 grows with the chunks of a record, not with rows times anything.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <hdf5.h>

#include "record/verify.hpp"
#include "run_fixture.hpp"

namespace {

int reads = 0, opens = 0;

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

// The program's calls find these before HDF5's.
extern "C" herr_t H5Dread(hid_t set, hid_t type, hid_t memory, hid_t file, hid_t list, void* data) {
  ++reads;
  return next<decltype(&H5Dread)>("H5Dread")(set, type, memory, file, list, data);
}
extern "C" hid_t H5Dopen2(hid_t place, const char* name, hid_t list) {
  ++opens;
  return next<decltype(&H5Dopen2)>("H5Dopen2")(place, name, list);
}

namespace {

using namespace switchyard;
using namespace switchyard::record;

/// Reads and opens of verify on a run of so many steps, half of them sampled.
std::pair<int, int> calls(std::int64_t steps) {
  const fixtures::Folder run;
  Config config = fixtures::small_config();
  config.record.flush_every = 10;
  RunFolder folder(run.path());
  fixtures::write_segment(folder, config, 1, static_cast<int>(steps), 1);
  reads = opens = 0;
  EXPECT_EQ(verify_path(run.path()).problems, std::vector<std::string>{});
  return {reads, opens};
}

TEST(VerifySpeed, ReadsAreOfBlocksOfRows) {
  const auto [few_reads, few_opens] = calls(100);
  const auto [many_reads, many_opens] = calls(1000);
  // Of each of the 450 more samples: its choices, what is kept, its sequences and positions, its counts in run.h5; of
  // each of the 300 more evaluations its choices. Nothing of the 900 rows by themselves.
  const int more = 450 * 7 + 300;
  EXPECT_LE(many_reads - few_reads, more);
  EXPECT_LE(many_opens - few_opens, more);
}

}  // namespace
