// ranks: 1 2 3 4 5 8
// Dispatch and combine: rows arrive in the defined order, the pairs are adjoint, sums follow the defined chains.
#include "moe/dispatch.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <thread>

#include "base/clock.hpp"
#include "base/polling.hpp"
#include "moe/combine.hpp"
#include "routing_cases.hpp"
#include "support/values.hpp"
#include "tensor/lanes.hpp"

namespace switchyard::moe::testing {
namespace {

using switchyard::test::filled;
using switchyard::test::value;

/// A problem with the stages on top.
struct Stages {
  Stages(const RoutingCase& c, int expert_parallel)
      : routing(c, expert_parallel),
        transfer(routing.context(), near_way(routing.context()), 3),
        dispatch(transfer),
        combine(transfer),
        buffers("test::transfer", routing.config, routing.groups.layout, Element::f32),
        pass("test::combine", routing.config, routing.groups.layout, Element::f32) {}
  Index tokens() const { return routing.rows().size(); }
  Trip trip() { return {*routing.plan, *buffers, 7, 0}; }
  void dispatch_forward(const Matrix<float>& x, const Tensor& rows) {
    dispatch.start(test::queue(), trip(), x, rows);
    dispatch.finish(test::queue(), trip(), rows);
  }
  void combine_forward(const Tensor& rows, const Vector<float>& weight, const Matrix<float>& y) {
    combine.start(test::queue(), trip(), rows, *pass);
    combine.finish(test::queue(), trip(), weight, {rows, y}, *pass);
  }

  RoutingProblem routing;
  Transfer transfer;
  Dispatch dispatch;
  Combine combine;
  Placed<TransferPass> buffers;
  Placed<CombinePass> pass;
};

/// (C) of a stream, by the global token and the choice.
Vector<float> choice_values(int stream, const RoutingProblem& p) {
  return on_device(p.of_choices<float>([&](std::int64_t t, int j) { return value(stream, t, j); }));
}

/// Memory for the expert rows.
Matrix<float> rows_of(const RoutingProblem& p) {
  return make_view<Matrix<float>>("test::rows", p.expected_rows().size(), width);
}

Vector<float> elements(const Matrix<float>& rows) { return Vector<float>(rows.data(), rows.size()); }

/// Rows of expert outputs, a function of (expert, token, channel).
Matrix<float> expert_rows(const RoutingProblem& p) {
  const auto rows = p.expected_rows();
  const HostVector<float> host("host", rows.size() * width);
  for (std::size_t r = 0; r < rows.size(); ++r)
    for (int c = 0; c < width; ++c) host(r * width + c) = value(5 + rows[r].expert, rows[r].token, c);
  const Matrix<float> filled = rows_of(p);
  Kokkos::deep_copy(elements(filled), host);
  return filled;
}

template <class V>
auto on_host(const V& v) {
  return Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace{}, v);
}

double dot(const float* a, const float* b, std::int64_t n) {
  double s = 0.0;
  for (std::int64_t i = 0; i < n; ++i) s += static_cast<double>(a[i]) * b[i];
  return s;
}

double world_sum(double v) {
  MPI_Allreduce(MPI_IN_PLACE, &v, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
  return v;
}

void check_dispatch(Stages& s) {
  const Matrix<float> rows = rows_of(s.routing);
  s.dispatch_forward(filled(1, s.routing.rows(), width), rows);
  const auto expected = s.routing.expected_rows();
  ASSERT_EQ(s.routing.plan->expert_rows(), static_cast<Index>(expected.size()));
  const auto got = on_host(elements(rows));
  for (std::size_t r = 0; r < expected.size(); ++r)
    for (int c = 0; c < width; ++c) ASSERT_EQ(got(r * width + c), value(1, expected[r].token, c)) << r;
}

void check_dispatch_adjoint(Stages& s) {  // <dispatch x, r> = <x, dispatch' r>
  const Matrix<float> x = filled(1, s.routing.rows(), width), dx("dx", s.tokens(), width);
  const Matrix<float> rows = rows_of(s.routing);
  s.dispatch_forward(x, rows);
  const Matrix<float> other = expert_rows(s.routing);
  s.dispatch.start_backward(test::queue(), s.trip(), other);
  s.dispatch.finish_backward(test::queue(), s.trip(), other, dx);
  const double left = world_sum(
      dot(on_host(elements(rows)).data(), on_host(elements(other)).data(), s.routing.plan->expert_rows() * width));
  const double right = world_sum(dot(on_host(x).data(), on_host(dx).data(), x.size()));
  EXPECT_NEAR(left, right, 1e-5 * (1 + std::abs(left)));
}

void check_combine(Stages& s) {  // to the bit: one fma chain a choice, then one addition
  const RoutingCase& test = s.routing.test;
  const Matrix<float> y = filled(3, s.routing.rows(), width);
  s.combine_forward(expert_rows(s.routing), choice_values(2, s.routing), y);
  const auto got = on_host(y);
  for (std::int64_t t = s.routing.rows().first; t < s.routing.rows().last; ++t)
    for (int c = 0; c < width; ++c) {
      float sum = 0.0f;
      for (int j = 0; j < choices_of(test, t); ++j)
        if (kept(test, t, j)) sum = std::fma(value(2, t, j), value(5 + expert_of(test, t, j), t, c), sum);
      ASSERT_EQ(got(t - s.routing.rows().first, c), value(3, t, c) + sum) << t;
    }
}

void check_combine_backward(Stages& s) {
  const RoutingCase& test = s.routing.test;
  const Range tokens = s.routing.rows();
  const Matrix<float> y("y", s.tokens(), width), dy = filled(4, tokens, width);
  const Vector<float> weight = choice_values(2, s.routing), dweight("dweight", weight.extent(0));
  const Matrix<float> rows = expert_rows(s.routing);
  s.combine_forward(rows, weight, y);
  s.combine.start_backward(test::queue(), s.trip(), dy, {weight, dweight}, rows, *s.pass);
  s.combine.finish_backward(test::queue(), s.trip(), rows);
  const auto expected = s.routing.expected_rows();
  const auto got = on_host(elements(rows));
  for (std::size_t r = 0; r < expected.size(); ++r)
    for (int c = 0; c < width; ++c)
      ASSERT_EQ(got(r * width + c), value(2, expected[r].token, expected[r].choice) * value(4, expected[r].token, c));
  const auto dw = on_host(dweight);
  const auto dy_host = on_host(dy);
  for (std::int64_t t = tokens.first; t < tokens.last; ++t)
    for (int j = 0; j < choices_of(test, t); ++j) {
      float row[width];
      for (int c = 0; c < width; ++c) row[c] = value(5 + expert_of(test, t, j), t, c);
      const float dot_product = lane_dot(&dy_host(t - tokens.first, 0), row, width);
      const float wanted = kept(test, t, j) ? dot_product : 0.0f, found = dw(s.routing.first[t - tokens.first] + j);
      if (switchyard::on_host)
        ASSERT_EQ(found, wanted) << t << " " << j;
      else  // in an order of its own
        ASSERT_NEAR(found, wanted, 1e-5f * (1.0f + std::abs(wanted))) << t << " " << j;
    }
}

void check_bytes(Stages& s) {
  const Matrix<float> rows = rows_of(s.routing);
  s.routing.timers.clear();
  s.dispatch_forward(filled(1, s.routing.rows(), width), rows);
  const auto& traffic = s.routing.plan->traffic();
  std::int64_t sent = 0;
  for (int r = 0; r < s.routing.groups.layout.ranks; ++r)
    if (r != s.routing.groups.layout.rank) sent += traffic[r] * width * 4;
  EXPECT_EQ(s.routing.timers.bytes[static_cast<int>(Phase::dispatch)], sent);
}

/// Until the rows under way have arrived.
void run_other_kernels(Stages& s) {
  const Vector<float> other("test::other", 1000);
  Polling polling([&s] { return s.buffers->under_way.poll(); }, 20e-6);
  const double give_up = now() + 20.0;
  while (!s.buffers->under_way.travels.empty() && s.buffers->under_way.travels.back().end == 0.0 && now() < give_up)
    Kokkos::parallel_for(
        "test::other", test::queue().range(1000), KOKKOS_LAMBDA(Index i) { other(i) += 1.0f; });
  polling.now();
}

// Rows arrive while kernels run that have nothing to do with them.
void check_progress(Stages& s) {
  const Matrix<float> rows = rows_of(s.routing);
  s.buffers->under_way.travels.clear();
  s.dispatch.start(test::queue(), s.trip(), filled(1, s.routing.rows(), width), rows);
  run_other_kernels(s);
  for (const Travel& travel : s.buffers->under_way.travels) EXPECT_GT(travel.end, travel.start);
  s.dispatch.finish(test::queue(), s.trip(), rows);
  for (const Travel& travel : s.buffers->under_way.travels)
    EXPECT_TRUE(travel.waited == 0.0 || travel.waited == travel.end - travel.start) << "there once it had started";
  EXPECT_EQ(s.buffers->under_way.travels.empty(), s.routing.plan->alone());
}

// So they do where their own rank doesn't know yet how many come when they leave, once there is room for them.
void check_numbers_beside(Stages& s) {
  check_dispatch(s);
  s.buffers->under_way.travels.clear();
  s.routing.begin_plan();
  const Matrix<float> rows = rows_of(s.routing);
  s.dispatch.start(test::queue(), s.trip(), filled(1, s.routing.rows(), width), rows);
  run_other_kernels(s);
  for (const Travel& travel : s.buffers->under_way.travels) EXPECT_GT(travel.end, travel.start);
  s.routing.plan->finish(test::queue());
  EXPECT_EQ(s.routing.plan->take_waited().seconds > 0.0,
            s.routing.exchanges.near->blocks() && !s.routing.plan->alone());
  s.dispatch.finish(test::queue(), s.trip(), rows);
  const auto expected = s.routing.expected_rows();
  const auto got = on_host(elements(rows));
  for (std::size_t r = 0; r < expected.size(); ++r)
    for (int c = 0; c < width; ++c) ASSERT_EQ(got(r * width + c), value(1, expected[r].token, c)) << r;
}

// A rank that comes late keeps no other from sending, but from taking its rows.
void check_no_meeting(Stages& s) {
  check_dispatch(s);
  s.buffers->under_way.travels.clear();
  MPI_Barrier(MPI_COMM_WORLD);
  const double late = 0.3, begin = now();
  const Matrix<float> rows = rows_of(s.routing), x = filled(1, s.routing.rows(), width);
  if (s.routing.groups.layout.rank == 0) std::this_thread::sleep_for(std::chrono::duration<double>(late));
  s.routing.begin_plan();
  s.dispatch.start(test::queue(), s.trip(), x, rows);
  EXPECT_TRUE(s.routing.groups.layout.rank == 0 || now() - begin < late) << "waited for rank 0";
  s.routing.plan->finish(test::queue());
  const Layout& layout = s.routing.groups.layout;
  EXPECT_TRUE(layout.place() == 0 || layout.group() > 0 || now() - begin > late / 2);
  s.dispatch.finish(test::queue(), s.trip(), rows);
}

void on_all_layouts(void (*check)(Stages&)) {
  for (const RoutingCase& c : routing_cases())
    for (int ep : test::degrees()) {
      SCOPED_TRACE(::testing::PrintToString(c) + " EP " + std::to_string(ep));
      Stages stages(c, ep);
      check(stages);
    }
}

TEST(Dispatch, BringsRowsInExpertOrder) { on_all_layouts(check_dispatch); }
TEST(Dispatch, BackwardIsTheAdjoint) { on_all_layouts(check_dispatch_adjoint); }
TEST(Dispatch, RowsTravelWhileOtherKernelsRun) { on_all_layouts(check_progress); }
TEST(Dispatch, RowsTravelBeforeTheirNumbersAreKnown) { on_all_layouts(check_numbers_beside); }
TEST(Dispatch, NobodyMeetsToLeave) {
  Stages stages({8, 1, 8, 4, 8, 0}, test::degrees().back());  // every rank has tokens and an expert
  check_no_meeting(stages);
}
TEST(Dispatch, CountsTheBytesThatLeave) { on_all_layouts(check_bytes); }
TEST(Combine, IsTheDefinedChainToTheBit) { on_all_layouts(check_combine); }
TEST(Combine, BackwardIsTheDefinedProductsToTheBit) { on_all_layouts(check_combine_backward); }

}  // namespace
}  // namespace switchyard::moe::testing
