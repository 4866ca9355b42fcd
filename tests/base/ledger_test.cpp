// What is counted, for what, and when.
#include "base/ledger.hpp"

#include <gtest/gtest.h>

namespace switchyard::ledger {
namespace {

Sent at(Purpose purpose, int rank, int ranks) {
  return entries()[static_cast<std::size_t>(purpose) * static_cast<std::size_t>(ranks) +
                   static_cast<std::size_t>(rank)];
}

TEST(Ledger, HasOfAStepWhatWasSentForEachPurposeToEachRank) {
  sent(2, 5);  // before the first step
  open(3);
  sent(1, 10);
  {
    const For reduce(Purpose::reduce);
    sent(1, 20), sent(1, 0);
    {
      const For dispatch(Purpose::dispatch);
      sent(2, 40);
    }
    sent(2, 80);
  }
  sent(2, 160);
  close();
  sent(2, 320);
  ASSERT_EQ(entries().size(), 3 * purpose_names().size());
  EXPECT_EQ(at(Purpose::other, 1, 3), (Sent{10, 1}));
  EXPECT_EQ(at(Purpose::reduce, 1, 3), (Sent{20, 2}));
  EXPECT_EQ(at(Purpose::dispatch, 2, 3), (Sent{40, 1}));
  EXPECT_EQ(at(Purpose::reduce, 2, 3), (Sent{80, 1}));
  EXPECT_EQ(at(Purpose::other, 2, 3), (Sent{160, 1}));
  std::int64_t bytes = 0;
  for (const Sent& entry : entries()) bytes += entry.bytes;
  EXPECT_EQ(bytes, 310) << "nothing else";
}

TEST(Ledger, BeginsEveryStepAnewInTheSameMemory) {
  open(4);
  sent(3, 7);
  close();
  const Sent* where = entries().data();
  open(4);
  EXPECT_EQ(entries().data(), where);
  EXPECT_EQ(at(Purpose::other, 3, 4), Sent{});
  close();
}

}  // namespace
}  // namespace switchyard::ledger
