// A channel between two threads: messages of any length in any order of sends and receives, as many as asked for.
#include "comm/transport/channel.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/check.hpp"

namespace switchyard::comm {
namespace {

/// Zeros, as a window begins.
struct Ends {
  std::unique_ptr<Channel> channel = std::make_unique<Channel>();
  Outgoing out{*channel};
  Incoming in{*channel};
};

TEST(ChannelTest, NothingLeavesBeforeItIsAskedFor) {
  Ends ends;
  std::int64_t sending = 1, receiving = 1;
  const char sent[] = "row";
  char received[4] = "";
  ends.out.send({sent, 4, 7, &sending});
  EXPECT_FALSE(ends.out.progress());
  ends.in.receive({received, 4, 7, &receiving});
  EXPECT_FALSE(ends.in.progress());
  EXPECT_TRUE(ends.out.progress());
  EXPECT_EQ(sending, 0) << "the buffer is free once it has been copied";
  EXPECT_EQ(receiving, 1);
  EXPECT_TRUE(ends.in.progress());
  EXPECT_EQ(receiving, 0);
  EXPECT_STREQ(received, "row");
  EXPECT_FALSE(ends.out.progress());
  EXPECT_FALSE(ends.in.progress());
}

TEST(ChannelTest, ALongMessageWaitsForItsSlots) {
  Ends ends;
  std::int64_t sending = 1, receiving = 1;
  const std::int64_t bytes = (chunk_slots + 2) * chunk_bytes - 5;
  std::vector<char> sent(bytes, 'a'), received(bytes);
  sent.back() = 'z';
  ends.in.receive({received.data(), bytes, 0, &receiving});
  ends.out.send({sent.data(), bytes, 0, &sending});
  for (std::uint64_t i = 0; i < chunk_slots; ++i) EXPECT_TRUE(ends.out.progress());
  EXPECT_FALSE(ends.out.progress()) << "all slots are full";
  while (receiving) EXPECT_TRUE(ends.in.progress() | ends.out.progress());
  EXPECT_EQ(sending, 0);
  EXPECT_EQ(received, sent);
}

/// Both sides throw; what was there stays.
TEST(ChannelTest, OtherLengthsAreRefusedOnBothSides) {
  for (const std::int64_t expected : {0, 3, 5}) {
    Ends ends;
    std::int64_t sending = 1, receiving = 1;
    char received[] = "before";
    ends.in.receive({received, expected, 2, &receiving});
    ends.out.send({"rows", 4, 2, &sending});
    const auto message = [](const std::function<void()>& work) {
      try {
        work();
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), Exit::internal);
        return std::string(error.what());
      }
      return std::string();
    };
    const std::string text = "a message of 4 bytes with tag 2 was sent where " + std::to_string(expected);
    EXPECT_TRUE(message([&] { ends.out.progress(); }).starts_with(text));
    EXPECT_TRUE(message([&] { ends.in.progress(); }).starts_with(text));
    EXPECT_STREQ(received, "before");
  }
}

/// Messages of the seed: lengths from nothing to several times all slots, of a few tags.
struct Traffic {
  explicit Traffic(unsigned seed) : random(seed) {
    for (int m = 0; m < 200; ++m) {
      const int kind = static_cast<int>(random() % 10);
      const std::int64_t bytes = kind == 0   ? 0
                                 : kind == 1 ? static_cast<std::int64_t>(random() % (3 * chunk_slots * chunk_bytes))
                                 : kind == 2 ? static_cast<std::int64_t>(random() % 3 + 1) * chunk_bytes
                                             : static_cast<std::int64_t>(random() % 3000);
      tags.push_back(static_cast<int>(random() % 3));
      rows.emplace_back(bytes);
      for (char& c : rows.back()) c = static_cast<char>(random());
    }
  }
  std::mt19937 random;
  std::vector<std::vector<char>> rows;
  std::vector<int> tags;
};

/// Receives are posted tag by tag in another order than the sends, a few at a time and all at once, by another thread.
TEST(ChannelTest, AnyTrafficArrivesWhole) {
  for (unsigned seed = 0; seed < 6; ++seed) {
    const Traffic traffic(seed);
    const auto messages = std::ssize(traffic.rows);
    std::vector<std::size_t> order;  // of the receives: those of one tag in the order of the sends
    for (const int tag : {1, 2, 0})
      for (std::size_t m = 0; m < traffic.rows.size(); ++m)
        if (traffic.tags[m] == tag) order.push_back(m);
    std::vector<std::vector<char>> received;
    for (const auto& of : traffic.rows) received.emplace_back(of.size());
    Ends ends;
    std::thread sender([&] {
      std::int64_t left = messages;
      for (std::size_t m = 0; m < traffic.rows.size(); ++m) {
        ends.out.send({traffic.rows[m].data(), std::ssize(traffic.rows[m]), traffic.tags[m], &left});
        if (m % 7 == seed) ends.out.progress();
      }
      while (left)
        if (!ends.out.progress()) std::this_thread::yield();
    });
    std::int64_t left = messages;
    std::size_t next = 0;
    while (left) {
      const std::size_t more = seed % 2 ? order.size() : next + 3;
      for (; next < std::min(more, order.size()); ++next)
        ends.in.receive(
            {received[order[next]].data(), std::ssize(received[order[next]]), traffic.tags[order[next]], &left});
      if (!ends.in.progress()) std::this_thread::yield();
    }
    sender.join();
    for (std::size_t m = 0; m < traffic.rows.size(); ++m) EXPECT_EQ(received[m], traffic.rows[m]) << seed << " " << m;
  }
}

}  // namespace
}  // namespace switchyard::comm
