// What can be predicted of a run, and why not.
#include "plan/forecast.hpp"

#include <gtest/gtest.h>

#include "plan/machine.hpp"

namespace switchyard::plan {
namespace {

Config model() {
  Config c;
  c.model.vocabulary = 64, c.model.width = 32, c.model.blocks = 2, c.model.context = 16, c.model.hidden = 64;
  c.moe.experts = 8, c.moe.top_k = 2, c.moe.hidden = 48, c.moe.hidden_chunks = 2;
  c.train.batch = 32, c.train.grains = 16;
  return c;
}

TEST(Forecast, IsThePredictionOfThoseNodes) {
  const MachineDescription machine = round_machine();
  const Forecast found = forecast(model(), machine, {2, 2});
  EXPECT_EQ(found.why_not, "");
  EXPECT_EQ(found.seconds.step, predict(model(), {4, 2, machine}).seconds.step);
  EXPECT_NE(found.seconds.step, forecast(model(), machine, {4}).seconds.step);
  EXPECT_EQ(forecast(model(), machine, {1}).seconds.hidden_share(), 1.0) << "nothing travels";
  Config teams = model();
  teams.layout.expert_tensor_parallel = 2;
  EXPECT_EQ(forecast(teams, machine, {2, 2}).seconds.step, predict(teams, {4, 2, machine}).seconds.step);
}

TEST(Forecast, SaysWhatIsMissing) {
  MachineDescription machine = round_machine();
  EXPECT_EQ(forecast(model(), machine, {3, 1}).why_not, "the nodes have different numbers of ranks, [3, 1]");
  machine.far.reset();
  EXPECT_NE(forecast(model(), machine, {2, 2}).why_not.find("has no far way"), std::string::npos);
  EXPECT_EQ(forecast(model(), machine, {4}).why_not, "");
  machine = round_machine(), machine.near.reset();
  EXPECT_NE(forecast(model(), machine, {2, 2}).why_not.find("has no near way"), std::string::npos);
  EXPECT_EQ(forecast(model(), machine, {1, 1}).why_not, "");
}

}  // namespace
}  // namespace switchyard::plan
