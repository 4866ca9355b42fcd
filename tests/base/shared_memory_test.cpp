// Memory that another process reads where it lies.
#include "base/shared_memory.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

namespace switchyard::shared_memory {
namespace {

TEST(SharedMemoryTest, BelongsToTheBlockThatHasAllOfIt) {
  const auto block = make(100);
  auto* const data = static_cast<std::byte*>(block.get());
  ASSERT_NE(data, nullptr);
  EXPECT_EQ(std::to_integer<int>(data[99]), 0);
  const auto all = find(data, 100), part = find(data + 40, 60);
  ASSERT_TRUE(all && part);
  EXPECT_EQ(part->first, 40);
  EXPECT_EQ(part->block, all->block);
  EXPECT_EQ(part->block_bytes, 100);
  EXPECT_TRUE(find(data + 100, 0));
  EXPECT_FALSE(find(data + 41, 60));
  EXPECT_FALSE(find(data + 101, 0));
  EXPECT_FALSE(find(data - 1, 1));
  int elsewhere = 0;
  EXPECT_FALSE(find(&elsewhere, 1));
}

TEST(SharedMemoryTest, IsGoneWithItsLastOwner) {
  auto block = make(8);
  const void* const data = block.get();
  auto copy = block;
  block.reset();
  EXPECT_TRUE(find(data, 8));
  const Place place = *find(data, 8);
  copy.reset();
  EXPECT_FALSE(find(data, 8));
  EXPECT_EQ(Reader(::getpid()).at(place), nullptr) << "or another file that has its number since";
}

/// The parent reads what a child has, in one block after another of the same file number; after its end nothing.
TEST(SharedMemoryTest, IsReadByAnotherProcess) {
  int told[2], asked[2];
  ASSERT_EQ(::pipe(told), 0);
  ASSERT_EQ(::pipe(asked), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(asked[1]);
    char go = 0;
    for (int i = 0; i < 3; ++i) {
      const auto block = make(5000 * (i + 1));
      std::memset(block.get(), 'a' + i, 5000);
      const Place place = *find(block.get(), 5000);
      if (::write(told[1], &place, sizeof place) < 0 || ::read(asked[0], &go, 1) < 1) ::_exit(1);
    }
    ::_exit(0);
  }
  Reader reader(child);
  Place place;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(::read(told[0], &place, sizeof place), static_cast<ssize_t>(sizeof place));
    const std::byte* const data = reader.at(place);
    ASSERT_NE(data, nullptr);
    EXPECT_EQ(std::to_integer<char>(data[4999]), 'a' + i);
    ASSERT_EQ(::write(asked[1], "", 1), 1);
  }
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(Reader(child).at(place), nullptr);
  for (const int file : {told[0], told[1], asked[0], asked[1]}) ::close(file);
}

TEST(SharedMemoryTest, IsWantedAsLongAsSomebodyWantsIt) {
  EXPECT_FALSE(wanted());
  {
    const Wanted one, other;
    EXPECT_TRUE(wanted());
  }
  EXPECT_FALSE(wanted());
}

}  // namespace
}  // namespace switchyard::shared_memory
