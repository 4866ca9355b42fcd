// ranks: 2 3 5
// Every transport carries rows between two ranks unchanged and in order, whatever their number and whatever else is
// under way.
#include "comm/transport.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <deque>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "base/check.hpp"
#include "comm/traffic.hpp"
#include "comm/transfers.hpp"

namespace switchyard::comm {
namespace {

struct Named {
  const char* name;
  TransportKind kind;
};
void PrintTo(const Named& tested, std::ostream* out) { *out << tested.name; }
const Named transports[] = {{"mpi", TransportKind::mpi}, {"window", TransportKind::window}};

class TransportTest : public testing::TestWithParam<Named> {
 protected:
  const Communicator group_ = Communicator::duplicate(MPI_COMM_WORLD);
  Transports by_{group_, GetParam().kind};
};

TEST_P(TransportTest, CarriesRowsOfAnyNumberAndSize) {
  int message = 0;
  for (const std::int64_t row_bytes : {1, 7, 4096})
    for (const std::int64_t rows : {std::int64_t{0}, std::int64_t{1}, std::int64_t{33}, large / row_bytes}) {
      Traffic traffic(by_, row_bytes, rows, ++message, 5);
      traffic.transfers().wait();
      traffic.expect_arrived();
      EXPECT_TRUE(traffic.transfers().poll()) << "complete once and for all";
    }
}

/// Every rank ends them in an order of its own.
TEST_P(TransportTest, SeveralAtOnceEndInAnyOrder) {
  std::deque<Traffic> all;
  for (int m = 0; m < 4; ++m) all.emplace_back(by_, 3 * m + 1, m % 2 ? 5 : large / 16, m, 10 + m);
  while (!all[1].transfers().poll()) continue;
  all[1].expect_arrived();
  for (int i = 0; i < 4; ++i) {
    const int m = (group_.rank() + 3 - i) % 4;
    all[m].transfers().wait();
    all[m].expect_arrived();
  }
}

/// Small and large messages of one tag, alternately of two objects of which the later is waited for first.
TEST_P(TransportTest, MessagesOfOneTagKeepTheirOrder) {
  constexpr int messages = 24;
  const int to = (group_.rank() + 1) % group_.size(), from = (group_.rank() + group_.size() - 1) % group_.size();
  std::vector<std::vector<int>> out, in;
  for (int m = 0; m < messages; ++m) {
    out.emplace_back(m % 3 ? m : 100000, 1000 * group_.rank() + m);
    in.emplace_back(out.back().size(), -1);
  }
  Transfers even(by_, sizeof(int)), odd(by_, sizeof(int));
  for (int m = 0; m < messages; ++m) {
    Transfers& transfers = m % 2 ? odd : even;
    transfers.receive(in[m].data(), std::ssize(in[m]), from, 9);
    transfers.send(out[m].data(), std::ssize(out[m]), to, 9);
  }
  odd.wait();
  even.wait();
  for (int m = 0; m < messages; ++m) EXPECT_EQ(in[m], std::vector<int>(in[m].size(), 1000 * from + m)) << m;
}

TEST_P(TransportTest, TagsTellMessagesApart) {
  const int to = (group_.rank() + 1) % group_.size(), from = (group_.rank() + group_.size() - 1) % group_.size();
  const int out[] = {group_.rank(), group_.rank() + 100, group_.rank() + 200};
  int in[] = {-1, -1, -1};
  Transfers transfers(by_, sizeof(int));
  for (const int tag : {2, 0, 1}) transfers.receive(in + tag, 1, from, tag);
  for (const int tag : {0, 1, 2}) transfers.send(out + tag, 1, to, tag);
  transfers.wait();
  for (const int tag : {0, 1, 2}) EXPECT_EQ(in[tag], from + 100 * tag);
}

TEST_P(TransportTest, DroppedTransfersWait) {
  Traffic traffic(by_, 16, large / 16, 1, 3);
  traffic.drop();
  traffic.expect_arrived();
}

TEST_P(TransportTest, MoreRowsThanCanBeCountedAreAClearError) {
  if (GetParam().kind != TransportKind::mpi) GTEST_SKIP() << "counts with 64 bits";
  const std::int64_t rows = std::int64_t{std::numeric_limits<int>::max()} + 1;
  Transfers transfers(by_, 1);
  try {
    transfers.send(nullptr, rows, 0, 0);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::usage);
    EXPECT_NE(std::string(e.what()).find("2147483648"), std::string::npos) << e.what();
  }
  EXPECT_THROW(transfers.receive(nullptr, rows, 0, 0), Error);
}

/// More than 2 GiB of addresses over 16 MiB of memory: one piece again and again, and a last page of its own.
class Folded {
 public:
  static constexpr std::int64_t piece = 16 << 20, pieces = 129, page = 1 << 16, bytes = piece * pieces + page;
  Folded() : memory_(::memfd_create("folded", 0)) {
    expect(memory_ >= 0 && ::ftruncate(memory_, piece) == 0, "memory");
    start_ = static_cast<char*>(map(nullptr, bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1));
    for (std::int64_t i = 0; i < pieces; ++i) map(start_ + i * piece, piece, MAP_SHARED | MAP_FIXED, memory_);
  }
  ~Folded() {
    ::munmap(start_, bytes);
    ::close(memory_);
  }
  char* data() { return start_; }

 private:
  static void* map(void* at, std::int64_t n, int flags, int file) {
    void* made = ::mmap(at, n, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, file, 0);
    expect(made != MAP_FAILED, "addresses");
    return made;
  }
  int memory_;
  char* start_ = nullptr;
};

TEST_P(TransportTest, MessagesMayHaveMoreThan2GiB) {
  if (group_.rank() > 1) return;
  Folded rows;
  static_assert(Folded::bytes > std::int64_t{1} << 31);
  const std::int64_t last = Folded::bytes - 1;
  Transfers transfers(by_, Folded::page);
  if (group_.rank() == 0) {
    rows.data()[5] = 'a', rows.data()[last] = 'z';
    transfers.send(rows.data(), Folded::bytes / Folded::page, 1, 1);
  } else {
    transfers.receive(rows.data(), Folded::bytes / Folded::page, 0, 1);
  }
  transfers.wait();
  EXPECT_EQ(rows.data()[5], 'a');
  EXPECT_EQ(rows.data()[last], 'z');
}

std::string test_name(const testing::TestParamInfo<Named>& tested) { return tested.param.name; }

INSTANTIATE_TEST_SUITE_P(All, TransportTest, testing::ValuesIn(transports), test_name);

}  // namespace
}  // namespace switchyard::comm
