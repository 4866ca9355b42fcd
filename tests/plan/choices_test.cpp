// What is chosen by predictions: lanes, layouts, the rule of thumb; and sites that cannot be planned for.
#include <gtest/gtest.h>

#include <cmath>

#include "base/check.hpp"
#include "config/values.hpp"
#include "plan/layouts.hpp"
#include "plan/rule_of_thumb.hpp"
#include "plan/sites.hpp"

namespace switchyard::plan {
namespace {

TEST(Layouts, LanesThatARunMeasuresAreTheFastestPredicted) {
  Config c = model();
  const Site there = site(4, 4);
  c.layout.schedule = ScheduleKind::interleaved, c.layout.lanes = 0;
  const Config fastest = with_fastest_lanes(c, there);
  EXPECT_GT(fastest.layout.lanes, 1);
  for (const int lanes : {1, 2, 4}) {
    c.layout.lanes = lanes;
    EXPECT_LE(predict(fastest, there).seconds.step, predict(c, there).seconds.step) << lanes;
    EXPECT_EQ(with_fastest_lanes(c, there).layout.lanes, lanes) << "as given";
  }
  c.layout.lanes = 0;
  for (const Config& one : layouts_of(c, there)) EXPECT_GT(one.layout.lanes, 0);
  c.layout.schedule = ScheduleKind::serial;
  EXPECT_EQ(with_fastest_lanes(c, there).layout.lanes, 1);
}

TEST(Layouts, AreValidAndRankedByTime) {
  Config c = model();
  c.moe.hidden_chunks = 2;
  const auto memory = [](const Config& of, int) { return of.layout.zero == 1 ? 100 : 200; };
  const std::vector<Candidate> all = rank_layouts(c, site(4, 2), 2 * 100, memory, 1000);
  ASSERT_GT(all.size(), 20u);
  bool fits = true;
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_TRUE(validate(all[i].config, 4).empty());
    EXPECT_EQ(all[i].fits, all[i].config.layout.zero == 1);
    EXPECT_TRUE(fits || !all[i].fits) << "those that fit come first";
    if (i > 0 && all[i].fits) {
      EXPECT_LE(all[i - 1].prediction.seconds.step, all[i].prediction.seconds.step);
    }
    fits = all[i].fits;
  }
  EXPECT_EQ(layout_yaml(c),
            "layout: {expert_parallel: 0, expert_tensor_parallel: 1, exchange: pairwise, schedule: serial, lanes: 1, "
            "zero: 0, recompute: none}\n");
  c.moe.hidden_chunks = 1;
  EXPECT_EQ(layout_yaml(c),
            "layout: {expert_parallel: 0, exchange: pairwise, schedule: serial, lanes: 1, zero: 0, recompute: none}\n");
}

TEST(Site, RefusesWhatIsNotMeasured) {
  const auto refused = [](Site s) {
    try {
      require_site(s);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(refused(site(4, 2)), "");
  EXPECT_NE(refused(site(4, 3)).find("does not divide"), std::string::npos);
  Site s = site(4, 2);
  s.machine.far.reset();
  EXPECT_NE(refused(s).find("--network"), std::string::npos);
  s = site(4, 2), s.machine.near.reset();
  EXPECT_NE(refused(s).find("no near way"), std::string::npos);
  s = site(4, 4), s.machine.near.reset();
  EXPECT_EQ(refused(s), "");
}

// The bands of the rule, and that a link which costs nothing makes top-2 and high capacities no reason to worry.
TEST(Rule, IsAnsweredByTime) {
  EXPECT_EQ(rule_for(800).spread, Spread::shared);
  EXPECT_EQ(rule_for(400).top_k, 2);
  EXPECT_EQ(rule_for(400).spread, Spread::grouped);
  EXPECT_EQ(rule_for(199).top_k, 1);
  Site there = site(4, 2);
  there.machine.far->bytes_per_s = 1e6;
  const std::vector<Choice> slow = answer_rule(model(), there);
  ASSERT_EQ(slow.size(), 6u);
  for (const Choice& c : slow) EXPECT_GE(c.full.back().step, c.even.seconds.step * 0.999);
  const std::vector<std::string> said = verdict_on(rule_for(800), slow);
  ASSERT_EQ(said.size(), 3u);
  EXPECT_EQ(said[0].find("experts: disagrees, grouped inside a node is faster than shared across nodes"), 0u)
      << said[0];
  EXPECT_EQ(said[2].find("capacity: disagrees, the rule's is too high for this link"), 0u) << said[2];
  there.machine.far->bytes_per_s = 1e12, there.machine.far->latency = there.machine.far->collective = 0.0;
  EXPECT_NE(verdict_on(rule_for(8), answer_rule(model(), there))[1].find("disagrees with top-1"), std::string::npos);
}

}  // namespace
}  // namespace switchyard::plan
