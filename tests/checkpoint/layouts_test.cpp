// ranks: 1 2 3 4 5
// Checkpoints of runs that change their layout at every resume: degrees, teams, shards and placements together.
#include "layouts.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace switchyard::checkpoint::testing {
namespace {

/// Every layout of all ranks, and of one and of two, whose experts are in chunks: each degree and team with shards or
/// without, one of the two with a placement, which takes turns.
std::vector<Shape> layouts_with_teams() {
  std::vector<Shape> list;
  unsigned turn = 0;
  for (Shape shape : shapes())
    for (shape.team = 1; shape.team <= std::gcd(shape.expert_parallel, 4); shape.team *= 2, ++turn)
      for (const bool sharded : {false, true}) {
        if (shape.ranks > 2 && shape.ranks < world().size()) continue;
        shape.sharded = sharded, shape.placed = (turn + (sharded ? 1 : 0)) % 2;
        shape.tensors = fixtures::tensors_in_chunks_of;
        list.push_back(shape);
      }
  return list;
}

// A run that changes its layout at every resume. All files of all layouts have the same sums, and each layout reads
// them to the bit, so that each reads those of any other.
TEST(Checkpoint, AnyLayoutWithTeamsShardsAndPlacementsReadsAnyOther) {
  for (const int experts : {1, 5}) {
    std::string manifest;
    const SharedFolder run;
    save({1, 1, false, 0, fixtures::tensors_in_chunks_of}, run.path(), experts, 1);
    std::int64_t step = 1;
    for (const Shape& shape : layouts_with_teams()) {
      const std::int64_t wrong = load(shape, run.path(), experts);
      EXPECT_TRUE(wrong == 0 || (wrong == -1 && world().rank() >= shape.ranks)) << wrong << ": " << shape;
      save(shape, run.path(), experts, ++step);
      const std::string written = sums_of_tensors(run.path());
      if (manifest.empty()) manifest = written;
      EXPECT_EQ(written, manifest) << shape;
    }
  }
}

}  // namespace
}  // namespace switchyard::checkpoint::testing
