// ranks: 1 2 3 4 5 8
// The transport `window` reads rows where the sender has them, whatever becomes of that memory afterwards, and is
// chosen for the pairs that it serves.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "base/check.hpp"
#include "comm/collectives.hpp"
#include "comm/traffic.hpp"
#include "comm/transfers.hpp"

namespace switchyard::comm {
namespace {

class WindowTest : public testing::Test {
 protected:
  void barrier() const {
    std::int64_t nothing = 0;
    all_reduce_max(group_, &nothing, 1);
  }
  const Communicator group_ = Communicator::duplicate(MPI_COMM_WORLD);
  Transports by_ = make_transports(group_, TransportChoice::window);
  const int next_ = (group_.rank() + 1) % group_.size(), last_ = (group_.rank() + group_.size() - 1) % group_.size();
  const bool alone_ = group_.size() == 1;
};

/// What is written after the send and before the receiver looks arrives; of memory that nobody can read, MPI has kept
/// what there was.
TEST_F(WindowTest, IsReadInPlaceIfItCanBe) {
  if (alone_) return;
  const Readable readable(8);
  std::vector<unsigned char> hidden(8, 1), in[2] = {std::vector<unsigned char>(8), std::vector<unsigned char>(8)};
  std::memset(readable.data(), 1, 8);
  Transfers transfers(by_, 8);
  transfers.send(readable.data(), 1, next_, 1);
  transfers.send(hidden.data(), 1, next_, 2);
  std::memset(readable.data(), 2, 8);
  barrier();
  for (const int tag : {1, 2}) transfers.receive(in[tag - 1].data(), 1, last_, tag);
  transfers.wait();
  EXPECT_EQ(in[0], std::vector<unsigned char>(8, 2));
  EXPECT_EQ(in[1], std::vector<unsigned char>(8, 1));
}

/// Each message out of another block, larger or smaller than the one before, which is gone.
TEST_F(WindowTest, RoomsMayGrowAndGo) {
  if (alone_) return;
  std::vector<unsigned char> in(300000);
  for (int message = 0; message < 40; ++message) {
    const std::int64_t bytes = message % 3 == 2 ? 50 : 7000 * (message + 1);
    const Readable out(bytes);
    for (std::int64_t i = 0; i < bytes; ++i) out.data()[i] = byte_of(group_.rank(), next_, message, i);
    Transfers transfers(by_, 1);
    transfers.send(out.data(), bytes, next_, 4);
    transfers.receive(in.data(), bytes, last_, 4);
    transfers.wait();
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < bytes; ++i) wrong += in[i] != byte_of(last_, group_.rank(), message, i);
    ASSERT_EQ(wrong, 0) << "message " << message;
  }
}

/// Seeded traffic of many objects, of lengths from nothing to large, more than there are slots, awaited in another
/// order on each rank.
TEST_F(WindowTest, ManyAtOnceInAnyOrder) {
  std::mt19937 random(7);  // the same on all ranks
  for (int round = 0; round < 6; ++round) {
    std::vector<std::unique_ptr<Traffic>> all;
    for (int m = 0; m < 20; ++m) {
      const std::int64_t rows = random() % 4 ? random() % 5000 : 0, row_bytes = 1 + random() % 9;
      all.push_back(std::make_unique<Traffic>(by_, row_bytes, rows, 100 * round + m, static_cast<int>(random() % 3)));
    }
    std::shuffle(all.begin(), all.end(), std::mt19937(group_.rank()));
    for (const auto& traffic : all) traffic->transfers().wait(), traffic->expect_arrived();
  }
}

TEST_F(WindowTest, MoreThanThereAreSlotsWaitForTheFirst) {
  if (alone_) return;
  constexpr int messages = 500;
  const Readable out(messages);
  std::vector<unsigned char> in(messages);
  Transfers transfers(by_, 1);
  for (int m = 0; m < messages; ++m) {
    out.data()[m] = byte_of(group_.rank(), next_, 3, m);
    transfers.send(out.data() + m, 1, next_, 7);
    transfers.receive(in.data() + m, 1, last_, 7);
  }
  transfers.wait();
  for (int m = 0; m < messages; ++m) ASSERT_EQ(in[m], byte_of(last_, group_.rank(), 3, m)) << m;
}

/// Received in the opposite order, as many at a time as there are slots, again and again.
TEST_F(WindowTest, TagsTellMessagesApart) {
  if (alone_) return;
  constexpr int tags = 64, messages = 3 * tags;
  const Readable out(messages);
  std::vector<unsigned char> in(messages);
  Transfers transfers(by_, 1);
  for (int m = 0; m < messages; ++m) {
    const int other = m / tags * tags + tags - 1 - m % tags;
    out.data()[m] = byte_of(group_.rank(), next_, 5, m);
    transfers.send(out.data() + m, 1, next_, m % tags);
    transfers.receive(in.data() + other, 1, last_, other % tags);
    if (m % 5 == 0) transfers.poll();
  }
  transfers.wait();
  for (int m = 0; m < messages; ++m) ASSERT_EQ(in[m], byte_of(last_, group_.rank(), 5, m)) << m;
}

/// As the watchdog names them: the ranks that something is still expected of, or that have not taken what they get.
TEST_F(WindowTest, NamesWhomItWaitsFor) {
  if (group_.size() < 3) return;
  const std::unique_ptr<Requests> requests = by_.made().at(by_.index_of(next_))->begin(4);
  const Readable out(4);
  int in = 0;
  const auto waits_for = [&] {
    std::vector<int> ranks;
    requests->add_incomplete(ranks);
    std::sort(ranks.begin(), ranks.end());
    return ranks;
  };
  EXPECT_EQ(waits_for(), std::vector<int>());
  requests->send(out.data(), 1, next_, 0);
  EXPECT_EQ(waits_for(), std::vector<int>{next_});
  barrier();
  requests->receive(&in, 1, last_, 0);
  EXPECT_EQ(waits_for(), (std::vector<int>{std::min(next_, last_), std::max(next_, last_)}));
  while (!requests->poll()) continue;
  EXPECT_EQ(waits_for(), std::vector<int>());
}

TEST_F(WindowTest, AnotherLengthThanExpectedIsAnError) {
  if (alone_) return;
  const Readable out(4);
  std::vector<unsigned char> in(4);
  const std::unique_ptr<Requests> requests = by_.made().at(by_.index_of(next_))->begin(1);
  requests->send(out.data(), 3, next_, 0);
  requests->receive(in.data(), 4, last_, 0);
  EXPECT_THROW(while (!requests->poll()) continue, Error);
  barrier();
}

TEST_F(WindowTest, ServesThePairsThatShareMemory) {
  EXPECT_EQ(by_.picked().by_window, group_.size() - 1);
  EXPECT_EQ(by_.picked().by_mpi, 0);
  EXPECT_EQ(by_.picked().note, "");
  EXPECT_EQ(make_transports(group_, TransportChoice::mpi).picked().by_mpi, group_.size() - 1);
  EXPECT_EQ(make_transports(group_, TransportChoice::auto_).picked().by_window, group_.size() - 1);
}

/// On one rank of them no file can be opened.
TEST_F(WindowTest, WithoutMemoryToShareItIsMpiOrAnError) {
  if (alone_) return;
  rlimit usual{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &usual), 0);
  const rlimit none{0, usual.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, group_.rank() == 1 ? &none : &usual), 0);
  const Picked picked = make_transports(group_, TransportChoice::auto_).picked();
  Exit code = Exit::ok;
  try {
    make_transports(group_, TransportChoice::window);
  } catch (const Error& error) {
    code = error.code();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &usual), 0);
  EXPECT_EQ(picked.by_mpi, group_.size() - 1);
  EXPECT_NE(picked.note.find("memfd_create"), std::string::npos) << picked.note;
  EXPECT_EQ(code, Exit::usage);
}

}  // namespace
}  // namespace switchyard::comm
