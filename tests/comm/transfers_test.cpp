// ranks: 2 3 5
// Transfers of several transports, each by that of its pair, are waited for together.
#include "comm/transfers.hpp"

#include <gtest/gtest.h>

#include <utility>

#include "base/check.hpp"
#include "comm/exchange/algorithms.hpp"
#include "comm/traffic.hpp"

namespace switchyard::comm {
namespace {

/// Another transport beside MPI's: its messages leave only after it has been polled a few times.
class Late : public Transport {
 public:
  Late(const Communicator& group, int& messages)
      : mpi_(make_transport(TransportKind::mpi, group, find_nodes(group, 0))), messages_(messages) {}
  Memory memory() const override { return Memory::host; }
  std::unique_ptr<Requests> begin(std::int64_t row_bytes) override {
    return std::make_unique<LateRequests>(mpi_->begin(row_bytes), messages_);
  }

 private:
  class LateRequests : public Requests {
   public:
    LateRequests(std::unique_ptr<Requests> mpi, int& messages) : mpi_(std::move(mpi)), messages_(messages) {}
    void receive(void* buffer, std::int64_t rows, int from, int tag) override {
      posts_.push_back([=, this] { mpi_->receive(buffer, rows, from, tag); });
      peers_.push_back(from);
    }
    void send(const void* buffer, std::int64_t rows, int to, int tag) override {
      posts_.push_back([=, this] { mpi_->send(buffer, rows, to, tag); });
      peers_.push_back(to);
    }
    bool poll() override {
      if (++polls_ < 4) return false;
      for (const auto& post : std::exchange(posts_, {})) post(), ++messages_;
      peers_.clear();
      return mpi_->poll();
    }
    void add_incomplete(std::vector<int>& ranks) const override {
      ranks.insert(ranks.end(), peers_.begin(), peers_.end());
      mpi_->add_incomplete(ranks);
    }

   private:
    std::unique_ptr<Requests> mpi_;
    int& messages_;
    std::vector<std::function<void()>> posts_;
    std::vector<int> peers_;  // of each
    int polls_ = 0;
  };
  std::unique_ptr<Transport> mpi_;
  int& messages_;
};

/// MPI for pairs of even distance, Late for the others, whose messages it counts.
Transports two_transports(const Communicator& group, int& late) {
  std::vector<std::unique_ptr<Transport>> made;
  made.push_back(make_transport(TransportKind::mpi, group, find_nodes(group, 0)));
  made.push_back(std::make_unique<Late>(group, late));
  std::vector<int> index_of;
  for (int p = 0; p < group.size(); ++p) index_of.push_back(std::abs(p - group.rank()) % 2);
  return {group, std::move(made), std::move(index_of)};
}

TEST(TransfersTest, AreWaitedForTogether) {
  const Communicator group = Communicator::duplicate(MPI_COMM_WORLD);
  int late = 0;
  Transports by = two_transports(group, late);
  Traffic polled(by, 8, 1000, 1, 1), waited(by, 8, large / 8, 2, 2), dropped(by, 8, large / 8, 3, 3);
  EXPECT_FALSE(polled.transfers().poll()) << "the late ones have not left";
  while (!polled.transfers().poll()) continue;
  waited.transfers().wait();
  dropped.drop();
  for (const Traffic* traffic : {&polled, &waited, &dropped}) traffic->expect_arrived();
  const int odd = group.rank() % 2 ? (group.size() + 1) / 2 : group.size() / 2;  // peers at an odd distance
  EXPECT_EQ(late, 3 * 2 * odd);
}

/// One flight over both: row i of the block from rank a to rank b is 100 a + 10 b + i.
TEST(TransfersTest, ServeOneFlightTogether) {
  const Communicator group = Communicator::duplicate(MPI_COMM_WORLD);
  int late = 0;
  const auto exchange = make_pairwise(two_transports(group, late));
  EXPECT_EQ(exchange->memory(), Memory::host);
  std::vector<std::int64_t> send{0}, receive{0};
  std::vector<int> from, expected;
  for (int p = 0; p < group.size(); ++p) {
    send.push_back(send.back() + p + 1);
    receive.push_back(receive.back() + group.rank() + 1);
    for (int i = 0; i <= p; ++i) from.push_back(100 * group.rank() + 10 * p + i);
    for (int i = 0; i <= group.rank(); ++i) expected.push_back(100 * p + 10 * group.rank() + i);
  }
  std::vector<int> to(expected.size(), -1);
  const Itinerary itinerary = exchange->prepare(there_and_back({consecutive(send), consecutive(receive)}));
  exchange->start({itinerary, Bound::out, sizeof(int), {}}, from.data(), to.data())->finish();
  EXPECT_EQ(to, expected);
}

TEST(TransfersTest, WorkInOneMemoryAndServeEveryRank) {
  class OnDevice : public Late {
   public:
    using Late::Late;
    Memory memory() const override { return Memory::device; }
  };
  const Communicator group = Communicator::duplicate(MPI_COMM_WORLD);
  int late = 0;
  const auto make = [&](std::vector<int> index_of, bool host) {
    std::vector<std::unique_ptr<Transport>> made;
    if (host) made.push_back(make_transport(TransportKind::mpi, group, find_nodes(group, 0)));
    made.push_back(std::make_unique<OnDevice>(group, late));
    return Transports(group, std::move(made), std::move(index_of));
  };
  const std::vector<int> zeros(group.size(), 0);
  EXPECT_THROW(make(zeros, true), Error);
  EXPECT_THROW(make({0}, false), Error);
  EXPECT_THROW(make(std::vector<int>(group.size(), 1), false), Error);
  EXPECT_THROW(make_pairwise(make(zeros, false)), Error) << "it copies on the host";
}

}  // namespace
}  // namespace switchyard::comm
