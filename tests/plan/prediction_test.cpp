// Predictions: what cannot be otherwise — a slower link is never faster, lanes move no more, teams compute no more.
#include <gtest/gtest.h>

#include <cmath>

#include "base/check.hpp"
#include "config/estimate.hpp"
#include "config/values.hpp"
#include "plan/sites.hpp"
#include "plan/work.hpp"
#include "schedule/generators.hpp"

namespace switchyard::plan {
namespace {

TEST(Prediction, ChunksOfExpertsAreAllOfTheirWork) {
  Config c = model();
  const double whole = predict(c, site(4, 2)).flop;
  c.moe.hidden_chunks = 4;
  EXPECT_NEAR(predict(c, site(4, 2)).flop, whole, 1e-9 * whole);
}

// A team of T computes its experts' rows once, on T ranks with a part of the hidden width each, and each of them has
// all of these rows; what comes home is added, so more elements are moved. Nobody else has a rank's part of an expert.
TEST(Prediction, TeamsShareTheWork) {
  Config c = model();
  c.moe.hidden_chunks = 4;
  for (const auto& [ranks, group] : {std::pair(4, 4), std::pair(8, 4), std::pair(8, 8)}) {
    c.layout = {}, c.layout.expert_parallel = group;
    const Prediction one = predict(c, site(ranks, 2));
    for (const int team : {2, 4}) {
      c.layout.expert_tensor_parallel = team;
      const Prediction shared = predict(c, site(ranks, 2));
      EXPECT_NEAR(shared.flop, one.flop, 1e-9 * one.flop);
      EXPECT_NEAR(shared.sums.all, one.sums.all, 1e-9 * one.sums.all);
      EXPECT_NEAR(shared.rows.all, team * one.rows.all, 1e-9 * shared.rows.all);
      EXPECT_NEAR(shared.rows.across, team * one.rows.across, 1e-9 * shared.rows.all);
      EXPECT_GT(shared.seconds.computing, one.seconds.computing);
      EXPECT_NEAR(hiding(c, site(ranks, 2)).flop_per_byte, hiding(c, site(ranks, 2)).straight, 1e-9);
    }
  }
  c.layout = {}, c.layout.exchange = ExchangeKind::node;  // across nodes a token goes once, whoever shares its experts
  const double across = predict(c, site(8, 2)).rows.across;
  c.layout.expert_tensor_parallel = 4;
  EXPECT_NEAR(predict(c, site(8, 2)).rows.across, across, 1e-9 * across);
}

TEST(Prediction, LanesMoveNoMore) {
  Config c = model();
  for (const ExchangeKind exchange : {ExchangeKind::pairwise, ExchangeKind::node})
    for (const int ranks : {1, 2, 4, 6}) {
      c.layout = {}, c.layout.exchange = exchange;
      const Site there = site(ranks, ranks % 2 == 0 ? 2 : 1);
      const Bytes one = predict(c, there).rows;
      for (const int lanes : {2, 4}) {
        c.layout.lanes = lanes;
        EXPECT_NEAR(predict(c, there).rows.all, one.all, 1e-6);
        EXPECT_NEAR(predict(c, there).rows.across, one.across, 1e-6);
      }
    }
}

// What polls took where the machine was measured they take where a run measures its pace.
TEST(Prediction, AMeasuredPaceIsThatOfTheMachine) {
  Config c = model();
  c.layout.schedule = ScheduleKind::interleaved, c.layout.lanes = 4;
  const auto step = [&](double us, double poll_of_machine) {
    Site there = site(4, 4);
    there.machine.far->poll = poll_of_machine;
    c.layout.poll = us;
    return predict(c, there).seconds.step;
  };
  EXPECT_EQ(step(0.0, 2e-6), step(50.0, 2e-6));
  EXPECT_NE(step(0.0, 2e-6), step(200.0, 2e-6));
  EXPECT_GT(step(0.0, 1e-4), step(0.0, 1e-6));
  c.layout.poll = 0.0;
  Site alone = site(1, 1);  // which has no way to measure
  alone.machine.near.reset(), alone.machine.far.reset();
  EXPECT_GT(predict(c, alone).seconds.step, 0.0);
}

// By window a poll copies what there is: that hides nothing, since the rank itself does it, and is no slower than
// waiting.
TEST(Prediction, ByWindowRanksCopyThemselves) {
  Config c = model();
  c.layout.schedule = ScheduleKind::interleaved, c.layout.lanes = 4;
  Site there = site(4, 1);
  there.machine.near = Way{true, 0.0, 1e8, 0.0, 0.0, 2e-4};
  there.machine.near_by_mpi = Way{false, 0.0, 1e8, 0.0, 1e9, 0.0};
  const Seconds copied = predict(c, there).seconds;
  c.layout.transport = TransportChoice::mpi;
  const Seconds sent = predict(c, there).seconds;
  EXPECT_LT(sent.step, copied.step);
  there.machine.near_by_mpi.reset();
  EXPECT_EQ(predict(c, there).seconds.step, copied.step) << "the only way that is known";
  const double rows = predict(c, there).rows.near / 1e8;
  c.layout.transport = TransportChoice::auto_;
  there.machine.near->bytes_per_s = 1e15, there.machine.near->poll = 0.0;
  EXPECT_GT(copied.step, predict(c, there).seconds.step + 0.9 * rows);
}

TEST(Prediction, ASlowerLinkIsNeverFaster) {
  for (const ScheduleKind schedule : {ScheduleKind::serial, ScheduleKind::pipelined, ScheduleKind::interleaved})
    for (const ExchangeKind exchange : {ExchangeKind::pairwise, ExchangeKind::alltoallv, ExchangeKind::node}) {
      Config c = model();
      c.layout.schedule = schedule, c.layout.exchange = exchange, c.layout.lanes = 2;
      double before = 0.0;
      for (const double rate : {1e12, 1e9, 1e8, 1e7, 1e6}) {
        Site there = site(8, 2);
        there.machine.far->bytes_per_s = rate;
        const Seconds s = predict(c, there).seconds;
        EXPECT_GE(s.step, before);
        EXPECT_LE(s.exposed, s.busy);
        EXPECT_NEAR(s.step, s.computing + s.exposed, 1e-9 * s.step);
        before = s.step;
      }
    }
}

// The bound of every overlap, and that it helps: between the larger of computing and link, and their sum.
TEST(Prediction, OverlapHides) {
  Config c = model();
  Site there = site(2, 2);
  there.machine.far->latency = there.machine.far->collective = 0.0;
  const Prediction first = predict(c, there);
  there.machine.far->bytes_per_s = first.rows.far / first.seconds.computing;  // as long as the work, one direction
  const Seconds serial = predict(c, there).seconds;
  EXPECT_NEAR(serial.hidden_share(), 0.0, 0.1);  // the router's backward pass is beside rows
  c.layout.lanes = 4, c.layout.schedule = ScheduleKind::interleaved;
  const Seconds interleaved = predict(c, there).seconds;
  EXPECT_LT(interleaved.step, serial.step);
  EXPECT_GT(interleaved.hidden_share(), 0.5);
  EXPECT_GE(interleaved.step, std::max(serial.computing, serial.busy) * 0.999);
  double before = interleaved.hidden_share();
  for (const int waves : {2, 4}) {  // the first goes forward alone, and the last back
    c.layout.waves = waves;
    const Seconds s = predict(c, there).seconds;
    EXPECT_NEAR(s.computing, interleaved.computing, 1e-2 * interleaved.computing);
    EXPECT_GT(s.hidden_share(), serial.hidden_share());
    EXPECT_LT(s.hidden_share(), before);
    before = s.hidden_share();
  }
}

// A token with one choice crosses to one node, whichever way it goes, and a rank that is alone there hands nothing on.
TEST(Prediction, RanksAloneOnTheirNodeMeetNobody) {
  Config c = model();
  c.moe.top_k = 1, c.layout.lanes = 4, c.layout.schedule = ScheduleKind::interleaved;
  Site there = site(2, 2);
  there.machine.far->buffer = 1e9;  // a meeting would wait behind all rows that are on their way
  const Seconds straight = predict(c, there).seconds;
  c.layout.exchange = ExchangeKind::node;
  EXPECT_NEAR(predict(c, there).seconds.exposed, straight.exposed, 0.05 * straight.exposed);
}

// Experts of two matrices, forwards 4·d·h FLOP a row, and 2·d bytes·b out and home: f·m/b · p/(p − 1).
TEST(Hiding, IsTheClosedForm) {
  Config c = model();
  for (const Activation activation : {Activation::gelu, Activation::swiglu}) {
    c.model.activation = activation;
    const double matrices = activation == Activation::swiglu ? 3.0 : 2.0;
    const Hiding h = hiding(c, site(8, 4));
    EXPECT_NEAR(h.straight, matrices * 48 / 4.0 * 4 / 3, 1e-9);
    EXPECT_NEAR(h.flop_per_byte, h.straight, 1e-9 * h.straight);
    EXPECT_NEAR(h.needed(), 10e9 / (1e8 / 2), 1e-6);
    EXPECT_FALSE(h.possible());
  }
  EXPECT_NEAR(flop_per_byte(3, 1000, 2, 8), 1.5 * 1000 * 8 / 7, 1e-9);  // bf16
  c.layout.expert_parallel = 1;
  EXPECT_TRUE(hiding(c, site(8, 4)).possible());
}

// All products of a step are the FLOP that `check` knows, but for attention's own and for the norms.
TEST(Workload, HasTheFlopOfTheModel) {
  Config c = model();
  c.moe.every = 2, c.moe.shared_experts = 1;
  double flop = 0.0;
  const Workload work(c, layout_of(c, 1));
  for (const schedule::Task& task : schedule::make_tasks(c)) flop += work.of(task).flop();
  const double attention = 3.0 * c.model.blocks * 2.0 * c.model.context * c.model.width;
  EXPECT_NEAR(flop, (flop_per_token(c) - attention) * double(c.step_tokens()), 1e-9 * flop);
}

// What stays is computed apart, and is of the same rows: an even share of the group's tokens.
TEST(Workload, OfRowsThatStayIsPartOfTheWhole) {
  Config c = model();
  c.moe.every = 1, c.train.grains = 16, c.layout.lanes = 2, c.layout.recompute = Recompute::experts;
  const Layout layout = layout_of(c, 4);
  const auto sums = [&](bool local_first) {
    c.layout.local_first = local_first;
    const Workload work(c, layout);
    std::pair<double, double> sum;
    for (const schedule::Task& task : schedule::make_tasks(c))
      sum.first += work.of(task).flop(), sum.second += work.of(task).elements;
    return sum;
  };
  const auto [flop, elements] = sums(false);
  EXPECT_NEAR(sums(true).first, flop, 1e-9 * flop);
  EXPECT_NEAR(sums(true).second, elements, 1e-9 * elements);
  EXPECT_DOUBLE_EQ(Workload(c, layout).rows_here(0, 16), Workload(c, layout).expert_rows(0, 16) / 4);
  EXPECT_EQ(Workload(c, layout_of(c, 1)).rows_here(0, 16), 0.0);
}

// Rows that stay hide the others' way where nothing else does, on any way but the one that blocks.
TEST(Predictions, RowsThatStayHideOthers) {
  Config c = model();
  const auto exposed = [&](bool local_first) {
    c.layout.local_first = local_first;
    return predict(c, site(4, 2)).seconds.exposed;
  };
  for (const ExchangeKind exchange : {ExchangeKind::pairwise, ExchangeKind::node, ExchangeKind::gather}) {
    c.layout.exchange = exchange;
    EXPECT_LT(exposed(true), exposed(false)) << format_value(exchange);
    const Hiding with = hiding(c, site(4, 2));
    c.layout.local_first = false;
    EXPECT_NEAR(hiding(c, site(4, 2)).flop_per_byte, with.flop_per_byte, 1e-9 * with.flop_per_byte);
  }
  c.layout.exchange = ExchangeKind::alltoallv;
  EXPECT_NEAR(exposed(true), exposed(false), 1e-9);
}

}  // namespace
}  // namespace switchyard::plan
