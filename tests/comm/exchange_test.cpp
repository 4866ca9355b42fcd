// ranks: 1 2 3 4 5 8
// Every exchange algorithm moves exactly the planned rows, and the way back is the adjoint of the way there.
#include "comm/exchange.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>

#include "base/check.hpp"
#include "comm/collectives.hpp"
#include "comm/traffic.hpp"
#include "support/kinds.hpp"

namespace switchyard::comm {
namespace {

/// How many rows rank `from` sends rank `to` in each pattern.
enum class Pattern { none, mixed, ring, all_to_first, idle_ranks };

std::int64_t rows_between(Pattern pattern, int from, int to, int ranks) {
  switch (pattern) {
    case Pattern::none:
      return 0;
    case Pattern::mixed:
      return (from * 7 + to * 5 + from * to) % 6;  // some zero
    case Pattern::ring:
      return to == (from + 1) % ranks ? 3 : 0;
    case Pattern::all_to_first:
      return to == 0 ? from + 1 : 0;
    case Pattern::idle_ranks:
      return from % 2 == 0 && to % 2 == 0 ? 400 : 0;  // odd ranks have no row at all
  }
  return 0;
}

RowPlan make_plan(Pattern pattern, const Communicator& comm) {
  std::vector<std::int64_t> send{0}, receive{0};
  for (int p = 0; p < comm.size(); ++p) {
    send.push_back(send.back() + rows_between(pattern, comm.rank(), p, comm.size()));
    receive.push_back(receive.back() + rows_between(pattern, p, comm.rank(), comm.size()));
  }
  return {consecutive(send), consecutive(receive)};
}

/// Says where a number came from: sender, receiver, row of the block, column. Exact in float.
float mark(int from, int to, std::int64_t row, int column) {
  return static_cast<float>(((from * 8 + to) * 512 + row) * 64 + column % 64);
}

/// Each exchange by each transport, where it takes one.
std::vector<LayoutConfig> ways() {
  std::vector<LayoutConfig> all;
  for (const ExchangeKind exchange : test::all_of<ExchangeKind>())
    for (const TransportChoice transport : test::all_of<TransportChoice>()) {
      if (exchange == ExchangeKind::alltoallv && transport != TransportChoice::auto_) continue;
      all.emplace_back().exchange = exchange;
      all.back().transport = transport;
    }
  return all;
}

/// Numbers that other ranks can read where they lie; `width` 1 has rows that they cannot.
class Numbers {
 public:
  Numbers(std::int64_t n, int width) : heap_(width == 1 ? n : 0), readable_(n * std::int64_t{sizeof(float)}) {
    data_ = width == 1 ? heap_.data() : reinterpret_cast<float*>(readable_.data());
  }
  float* data() const { return data_; }
  float& operator[](std::int64_t i) { return data_[i]; }

 private:
  std::vector<float> heap_;
  Readable readable_;
  float* data_;
};

class ExchangeTest : public testing::TestWithParam<std::tuple<LayoutConfig, Pattern, int>> {
 protected:
  const Communicator comm = Communicator::duplicate(MPI_COMM_WORLD);
  const std::unique_ptr<Exchange> exchange = make_exchange(std::get<LayoutConfig>(GetParam()), comm);
  const RowPlan plan = make_plan(std::get<Pattern>(GetParam()), comm);
  const Itinerary itinerary = exchange->prepare(there_and_back(plan));
  const int width = std::get<int>(GetParam());
  const std::int64_t row_bytes = width * std::int64_t{sizeof(float)};
};

TEST_P(ExchangeTest, MovesExactlyThePlannedRows) {
  Numbers send(count_rows(plan.send) * width, width);
  std::vector<float> receive(count_rows(plan.receive) * width + 1, -1.0f);
  for (int to = 0; to < comm.size(); ++to)
    for (std::int64_t i = plan.send[to].first; i < plan.send[to].last; ++i)
      for (int c = 0; c < width; ++c) send[i * width + c] = mark(comm.rank(), to, i - plan.send[to].first, c);
  for (int repeat = 0; repeat < 3; ++repeat)
    exchange->start({itinerary, Bound::out, row_bytes, {repeat, 1, 0}}, send.data(), receive.data())->finish();
  for (int from = 0; from < comm.size(); ++from)
    for (std::int64_t i = plan.receive[from].first; i < plan.receive[from].last; ++i)
      for (int c = 0; c < width; ++c)
        ASSERT_EQ(receive[i * width + c], mark(from, comm.rank(), i - plan.receive[from].first, c)) << from << " " << i;
  EXPECT_EQ(receive.back(), -1.0f) << "wrote past the last row";
}

TEST_P(ExchangeTest, TheWayBackIsTheAdjoint) {
  const std::int64_t sent = count_rows(plan.send) * width, received = count_rows(plan.receive) * width;
  Numbers x(sent, width), y(received, width);
  for (std::int64_t i = 0; i < sent; ++i) x[i] = static_cast<float>((i * 37 + comm.rank() * 11) % 17) - 8;
  for (std::int64_t i = 0; i < received; ++i) y[i] = static_cast<float>((i * 53 + comm.rank() * 29) % 13) - 6;
  std::vector<float> there(received), back(sent);
  exchange->start({itinerary, Bound::out, row_bytes, {5, 2, 0}}, x.data(), there.data())->finish();
  exchange->start({itinerary, Bound::home, row_bytes, {5, 2, 1}}, y.data(), back.data())->finish();
  std::int64_t products[2] = {0, 0};  // <dispatch x, y> and <x, combine y>; small integers, so exact
  for (std::int64_t i = 0; i < received; ++i) products[0] += static_cast<std::int64_t>(there[i] * y[i]);
  for (std::int64_t i = 0; i < sent; ++i) products[1] += static_cast<std::int64_t>(x[i] * back[i]);
  all_reduce_sum(comm, products, 2);
  EXPECT_EQ(products[0], products[1]);
}

/// Three journeys under way at once, there and back, of rows of another width each; polled, then finished in another
/// order than they began.
TEST_P(ExchangeTest, SeveralFlightsAtOnce) {
  const std::int64_t rows_out = count_rows(plan.send), rows_in = count_rows(plan.receive);
  std::vector<Numbers> from;
  std::vector<std::vector<float>> to;
  std::vector<std::unique_ptr<Flight>> flights;
  for (int i = 0; i < 3; ++i) {
    const std::int64_t columns = width + i, left = i == 1 ? rows_in : rows_out, arriving = i == 1 ? rows_out : rows_in;
    from.emplace_back(left * columns, width);
    std::fill_n(from.back().data(), left * columns, static_cast<float>(100 * i + comm.rank()));
    to.emplace_back(arriving * columns, -1.0f);
  }
  for (int i = 0; i < 3; ++i)
    flights.push_back(exchange->start(
        {itinerary, i == 1 ? Bound::home : Bound::out, (width + i) * std::int64_t{sizeof(float)}, {7, 3, i, i}},
        from[i].data(), to[i].data()));
  while (!flights[1]->poll()) continue;
  for (const int i : {2, 1, 0}) flights[i]->finish();
  for (int i = 0; i < 3; ++i) {
    const RowRanges& of = i == 1 ? plan.send : plan.receive;
    for (int p = 0; p < comm.size(); ++p)
      for (std::int64_t at = of[p].first * (width + i); at < of[p].last * (width + i); ++at)
        ASSERT_EQ(to[i][at], static_cast<float>(100 * i + p)) << "flight " << i;
  }
}

/// The same rows go to every rank, and each sends them home with its mark, apart from the others'.
TEST_P(ExchangeTest, ARowMayGoToSeveralRanks) {
  const std::int64_t rows = 3, ranks = comm.size();
  std::vector<std::int64_t> begins;
  for (int p = 0; p <= ranks; ++p) begins.push_back(p * rows);
  const RowPlan out{RowRanges(ranks, {0, rows}), consecutive(begins)};
  const Itinerary shared = exchange->prepare({out, {out.receive, consecutive(begins)}});
  std::vector<float> send(rows * width), receive(ranks * rows * width), home(ranks * rows * width);
  for (std::size_t i = 0; i < send.size(); ++i) send[i] = static_cast<float>(comm.rank() * 1000 + i);
  exchange->start({shared, Bound::out, row_bytes, {1, 0, 0}}, send.data(), receive.data())->finish();
  for (float& value : receive) value += static_cast<float>(100000 * comm.rank());
  exchange->start({shared, Bound::home, row_bytes, {1, 0, 1}}, receive.data(), home.data())->finish();
  for (int p = 0; p < ranks; ++p)
    for (std::int64_t i = 0; i < rows * width; ++i)
      ASSERT_EQ(home[p * rows * width + i], send[i] + static_cast<float>(100000 * p)) << p;
}

/// Rows that stay can be worked on while the others travel.
TEST_P(ExchangeTest, RowsThatStayAreThereAtOnce) {
  const std::vector<float> from(count_rows(plan.send) * width, 5.0f);
  std::vector<float> to(count_rows(plan.receive) * width, -1.0f);
  const auto flight = exchange->start({itinerary, Bound::out, row_bytes, {1, 0, 0}}, from.data(), to.data());
  for (std::int64_t i = plan.receive[comm.rank()].first * width; i < plan.receive[comm.rank()].last * width; ++i)
    ASSERT_EQ(to[i], 5.0f);
  flight->finish();
}

/// The sender knows what it sends; its peers hear of it later.
TEST_P(ExchangeTest, RowsMayLeaveBeforeItIsKnownHowManyCome) {
  Numbers send(count_rows(plan.send) * width, width);
  std::vector<float> receive(count_rows(plan.receive) * width, -1.0f);
  std::fill_n(send.data(), count_rows(plan.send) * width, static_cast<float>(comm.rank()));
  Itinerary growing{{plan.send, {}}, {}};
  const auto flight = exchange->send({growing, Bound::out, row_bytes, {3, 2, 0}}, send.data());
  EXPECT_FALSE(flight->poll()) << "rows may still come";
  MPI_Barrier(MPI_COMM_WORLD);
  growing = itinerary;
  flight->receive(receive.data());
  while (!flight->poll()) continue;
  flight->finish();
  for (int p = 0; p < comm.size(); ++p)
    for (std::int64_t at = plan.receive[p].first * width; at < plan.receive[p].last * width; ++at)
      ASSERT_EQ(receive[at], static_cast<float>(p));
}

/// Whichever lane is told first where its rows go.
TEST_P(ExchangeTest, LanesAreToldInAnyOrder) {
  if (exchange->blocks()) GTEST_SKIP() << "ranks meet in each";
  std::vector<Numbers> from;
  std::vector<std::vector<float>> to;
  std::vector<std::unique_ptr<Flight>> flights;
  const int lanes[] = {0, 4, 8, 1023};
  for (const int lane : lanes) {
    from.emplace_back(count_rows(plan.send) * width, width);
    std::fill_n(from.back().data(), count_rows(plan.send) * width, static_cast<float>(2000 * comm.rank() + lane));
    to.emplace_back(count_rows(plan.receive) * width, -1.0f);
    flights.push_back(exchange->send({itinerary, Bound::out, row_bytes, {1, 0, 0, lane}}, from.back().data()));
  }
  for (int i = 3; i >= 0; --i) flights[i]->receive(to[i].data());
  for (int i = 0; i < 4; ++i) {
    flights[i]->finish();
    for (int p = 0; p < comm.size(); ++p)
      for (std::int64_t at = plan.receive[p].first * width; at < plan.receive[p].last * width; ++at)
        ASSERT_EQ(to[i][at], static_cast<float>(2000 * p + lanes[i])) << "lane " << lanes[i];
  }
}

std::string test_name(const testing::TestParamInfo<ExchangeTest::ParamType>& info) {
  const auto [layout, pattern, width] = info.param;
  const char* patterns[] = {"none", "mixed", "ring", "all_to_first", "idle_ranks"};
  return test::name_of(layout.exchange) + "_" + test::name_of(layout.transport) + "_" +
         patterns[static_cast<int>(pattern)] + "_" + std::to_string(width);
}

INSTANTIATE_TEST_SUITE_P(Algorithms, ExchangeTest,
                         testing::Combine(testing::ValuesIn(ways()),
                                          testing::Values(Pattern::none, Pattern::mixed, Pattern::ring,
                                                          Pattern::all_to_first, Pattern::idle_ranks),
                                          testing::Values(1, 48)),
                         test_name);

/// By MPI, which counts in 31 bits.
class ExchangeErrors : public testing::TestWithParam<ExchangeKind> {
 protected:
  static std::unique_ptr<Exchange> make(const Communicator& comm) {
    LayoutConfig layout;
    layout.exchange = GetParam(), layout.transport = TransportChoice::mpi;
    return make_exchange(layout, comm);
  }
};

TEST_P(ExchangeErrors, ABadPlanIsRefused) {
  const Communicator comm = Communicator::duplicate(MPI_COMM_WORLD);
  const auto exchange = make(comm);
  RowPlan plan = make_plan(Pattern::mixed, comm);
  plan.send.push_back(plan.send.back());
  EXPECT_THROW(exchange->prepare(there_and_back(plan)), Error);
  plan = make_plan(Pattern::none, comm);
  plan.receive.back().last = -1;
  EXPECT_THROW(exchange->prepare(there_and_back(plan)), Error);
  if (comm.size() == 1) return;
  plan = {RowRanges(comm.size(), {0, 2}), RowRanges(comm.size(), {0, 2})};  // from all to the same rows
  EXPECT_THROW(exchange->prepare({plan, {plan.send, plan.receive}}), Error);
}

TEST_P(ExchangeErrors, MoreRowsThanMpiCanCountIsAClearError) {
  const Communicator comm = Communicator::duplicate(MPI_COMM_WORLD);
  if (comm.size() == 1) GTEST_SKIP() << "nothing is sent";
  const auto exchange = make(comm);
  const std::int64_t rows = std::int64_t{std::numeric_limits<int>::max()} + 1;
  RowPlan plan{RowRanges(comm.size()), RowRanges(comm.size())};
  plan.send[(comm.rank() + 1) % comm.size()] = {0, rows};
  try {
    const Itinerary itinerary = exchange->prepare(there_and_back(plan));
    exchange->start({itinerary, Bound::out, 4, {}}, nullptr, nullptr);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::usage);
    EXPECT_NE(std::string(e.what()).find("2147483648"), std::string::npos) << e.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Algorithms, ExchangeErrors, testing::ValuesIn(test::all_of<ExchangeKind>()));

}  // namespace
}  // namespace switchyard::comm
