// Who owns what of a slab: every element once, cut at blocks of 4096, evenly; owners beyond the blocks have nothing.
#include "config/shards.hpp"

#include <gtest/gtest.h>

#include <random>

namespace switchyard {
namespace {

TEST(Slices, CutEveryElementOnceAtBlocks) {
  for (const std::int64_t n : {0, 1, 4095, 4096, 4097, 8192, 5 * 4096 + 17, 1 << 20})
    for (const int owners : {1, 2, 3, 5, 8, 13, 300}) {
      std::int64_t next = 0, most = 0, least = n;
      for (int owner = 0; owner < owners; ++owner) {
        const Range slice = slice_of(n, owners, owner);
        EXPECT_EQ(slice.first, next) << n << " elements of " << owners;
        EXPECT_TRUE(slice.last % 4096 == 0 || slice.last == n) << slice.last;
        next = slice.last;
        most = std::max(most, slice.size()), least = std::min(least, slice.size());
      }
      EXPECT_EQ(next, n);
      EXPECT_LE(most - least, 4096) << n << " elements of " << owners;
      EXPECT_TRUE(n > (owners - 1) * 4096 || least == 0) << "more owners than blocks";
    }
}

TEST(Common, IsWhatIsInBoth) {
  EXPECT_EQ(common({2, 7}, {4, 9}), (Range{4, 7}));
  EXPECT_EQ(common({4, 9}, {2, 7}), (Range{4, 7}));
  EXPECT_EQ(common({0, 9}, {3, 4}), (Range{3, 4}));
  for (const Range& other : {Range{7, 9}, Range{0, 2}, Range{5, 5}, Range{8, 20}})
    EXPECT_EQ(common({2, 7}, other).size(), 0) << other.first;
}

/// Parts of random sizes, some empty, with gaps between some of them.
std::vector<Range> random_parts(std::mt19937& random) {
  std::vector<Range> parts;
  std::int64_t at = 0;
  for (std::size_t n = random() % 6; n > 0; --n) {
    at += static_cast<std::int64_t>(random() % 2) * 4096;
    parts.push_back({at, at + static_cast<std::int64_t>(random() % 9) * 4096});
    at = parts.back().last;
  }
  return parts;
}

TEST(Shards, HaveEveryElementOfTheirPartsOnceOneAfterAnother) {
  std::mt19937 random(41);
  for (int trial = 0; trial < 300; ++trial) {
    const std::vector<Range> parts = random_parts(random);
    const int owners = 1 + static_cast<int>(random() % 12);
    std::vector<int> owned(60 * 4096, 0);
    for (int owner = 0; owner < owners; ++owner) {
      std::int64_t kept = 0, last = 0;
      for (const Piece& piece : shard_of(parts, owners, owner)) {
        EXPECT_EQ(piece.at, kept);
        EXPECT_GE(piece.elements.first, last) << "ascending";
        EXPECT_TRUE(piece.elements.first % 4096 == 0 && piece.elements.size() > 0);
        for (std::int64_t i = piece.elements.first; i < piece.elements.last; ++i) ++owned[i];
        kept += piece.elements.size(), last = piece.elements.last;
      }
      EXPECT_EQ(elements_of(shard_of(parts, owners, owner)), kept);
    }
    for (const Range& part : parts)
      for (std::int64_t i = part.first; i < part.last; ++i) owned[i] -= 1;
    EXPECT_EQ(std::count(owned.begin(), owned.end(), 0), std::ssize(owned)) << "trial " << trial;
  }
}

TEST(Shards, AreByBucketsOfGradientsWhereTheyAreAskedFor) {
  Config c;
  c.model.vocabulary = 100;
  EXPECT_TRUE(sharded_buckets(c).empty());
  c.layout.zero = 1;
  EXPECT_EQ(sharded_buckets(c), gradient_buckets(c));
}

}  // namespace
}  // namespace switchyard
