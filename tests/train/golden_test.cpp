// ranks: 1 2 3
// The published bits: every run of the table gives them on any number of ranks and threads.
#include "train/golden.hpp"

#include <gtest/gtest.h>

#include <sstream>

#include "tensor/blas.hpp"
#include "train/bits.hpp"

namespace switchyard::train {
namespace {

using Lines = std::vector<std::string>;

TEST(Golden, EveryRunGivesThePublishedBits) {
  const std::string products = published_products();
  if (products != blas::bits_depend_on()) GTEST_SKIP() << "published are the bits of " << products;
  for (const GoldenRun& run : golden_runs()) {
    const Lines published = published_bits_of(run.name);
    ASSERT_FALSE(published.empty()) << run.name << " is not published: add it with switchyard selfcheck --all --print";
    EXPECT_EQ(first_difference(trained_bits(run.config), published), "") << run.name;
  }
}

TEST(Golden, NothingElseIsPublished) {
  std::string expected, found;
  for (const GoldenRun& run : golden_runs()) expected += run.name + "\n";
  std::string last;
  std::istringstream text(published_bits());
  for (std::string line; std::getline(text, line);) {
    const std::string name = line.substr(0, line.find(" | "));
    if (line.starts_with('#') || name == last) continue;
    found += name + "\n", last = name;
  }
  EXPECT_EQ(found, expected);
}

// A run that differs in the least number is seen, at the place where it first differs.
TEST(Golden, ADifferenceIsSeenAtItsPlace) {
  const GoldenRun& run = golden_runs().front();
  const Lines before = trained_bits(run.config);
  Config config = run.config;
  config.train.learning_rate *= 1.0 + 1e-7;
  const Lines after = trained_bits(config);
  ASSERT_EQ(after.size(), before.size());
  EXPECT_TRUE(first_difference(after, before).starts_with("step 1, parameters: ")) << first_difference(after, before);
  EXPECT_EQ(first_difference(before, Lines(before.begin(), before.end() - 1)),
            before.back() + ", published is nothing");
}

}  // namespace
}  // namespace switchyard::train
