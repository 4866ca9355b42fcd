// A machine description: what is written is read again, what is wrong is named with its place, rates between shapes.
#include "plan/machine.hpp"

#include <gtest/gtest.h>

#include "base/check.hpp"

namespace switchyard::plan {
namespace {

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), with);
}

std::string complaint(const std::string& text) {
  try {
    machine_from_yaml("m.yaml", text);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Exit::usage);
    return e.what();
  }
  return "";
}

TEST(Machine, IsReadAsItWasWritten) {
  MachineDescription m = round_machine();
  m.products.rows = {4, 16}, m.products.inner = {64}, m.products.columns = {64, 256};
  for (auto& grid : m.products.gflops) grid = {1.5, 2.25, 3.0, 4.125};
  m.near.reset(), m.ranks = m.nodes;
  const MachineDescription read = machine_from_yaml("m.yaml", to_yaml(m));
  EXPECT_EQ(to_yaml(read), to_yaml(m));
  EXPECT_FALSE(read.near);
  EXPECT_DOUBLE_EQ(read.far->bytes_per_s, 1e8);
  EXPECT_DOUBLE_EQ(read.far->latency, 1e-5);
  EXPECT_DOUBLE_EQ(read.stages[static_cast<std::size_t>(schedule::Stage::head)].backward, 2e-9);
  EXPECT_EQ(read.products.gflops[1], m.products.gflops[1]);
}

// The first format has ways by MPI and does not say so.
TEST(Machine, OfTheFirstFormatIsReadToo) {
  MachineDescription m = round_machine();
  std::string text = replaced(to_yaml(m), "switchyard-machine-2", "switchyard-machine-1");
  for (int way = 0; way < 2; ++way) text = replaced(text, "  transport: mpi\n", "");
  EXPECT_EQ(to_yaml(machine_from_yaml("m.yaml", text)), to_yaml(m));
  m.near_by_mpi = m.near, m.near->by_window = true, m.near->latency = 5e-7, m.near->buffer = 0.0;
  const MachineDescription read = machine_from_yaml("m.yaml", to_yaml(m));
  EXPECT_EQ(to_yaml(read), to_yaml(m));
  EXPECT_TRUE(read.near->by_window);
  EXPECT_FALSE(read.near_by_mpi->by_window);
  EXPECT_DOUBLE_EQ(read.near->latency, 5e-7);
}

TEST(Machine, MeasuredSeveralTimesIsTheMiddleOfEveryNumber) {
  std::vector<MachineDescription> all(3, round_machine());
  all[0].products.gflops[1] = {4.0}, all[1].products.gflops[1] = {8.0}, all[2].products.gflops[1] = {5.0};
  const auto head = static_cast<std::size_t>(schedule::Stage::head);
  all[0].stages[head].backward = 9e-9, all[1].stages[head].backward = 3e-9, all[2].stages[head].backward = 1e-9;
  all[0].far->bytes_per_s = 3e8, all[1].far->bytes_per_s = 2e8;
  const MachineDescription middle = middle_of(all, {"a", "b", "c"});
  EXPECT_EQ(middle.products.gflops[1], std::vector{5.0});
  EXPECT_EQ(middle.products.gflops[0], std::vector{10.0});
  EXPECT_DOUBLE_EQ(middle.stages[head].backward, 3e-9);
  EXPECT_DOUBLE_EQ(middle.far->bytes_per_s, 2e8);
  EXPECT_DOUBLE_EQ(middle_of({all[0], all[2]}, {"a", "c"}).products.gflops[1][0], 4.5) << "the mean of two";
  EXPECT_EQ(to_yaml(middle_of({all[0]}, {"a"})), to_yaml(all[0]));
}

TEST(Machine, OfOthersHasNoMiddle) {
  const auto refused = [](const auto& change) {
    std::vector<MachineDescription> all(2, round_machine());
    change(all[1]);
    try {
      middle_of(all, {"a.yaml", "b.yaml"});
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Exit::usage);
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_EQ(refused([](auto& m) { m.host = "another"; }), "");
  EXPECT_EQ(refused([](auto& m) { m.threads = 2; }).find("b.yaml: has other ranks, nodes or threads than a.yaml"), 0u);
  EXPECT_EQ(refused([](auto& m) { m.products.rows = {2}; }).find("b.yaml: has other shapes of products"), 0u);
  EXPECT_EQ(refused([](auto& m) { m.far.reset(); }).find("b.yaml: has other ways between ranks"), 0u);
  EXPECT_EQ(refused([](auto& m) { m.near->by_window = true; }).find("b.yaml: has other ways between ranks"), 0u);
}

TEST(Machine, SaysWhatIsWrongAndWhere) {
  const std::string good = to_yaml(round_machine());
  EXPECT_EQ(complaint(good), "");
  const std::pair<std::string, std::string> cases[] = {
      {"", "m.yaml: a machine is made of keys"},
      {replaced(good, "switchyard-machine-2", "switchyard-machine-9"),
       "format: is switchyard-machine-9, not switchyard-machine-2 or -1"},
      {replaced(good, "switchyard-machine-2", "switchyard-machine-1"), "near.transport: unknown key"},
      {replaced(good, "transport: mpi", "transport: ipc"), "near.transport: is ipc; must be mpi or window"},
      {replaced(good, "  transport: mpi\n", ""), "near.transport: is missing"},
      {replaced(good, "memory_gib: ", "memory: "), "memory_gib: is missing"},
      {replaced(good, "memory_gib: ", "memory: "), ": memory: unknown key"},
      {replaced(good, "threads: 1", "threads: 0"), "threads: 0 is out of range; must be in [1, 1048576]"},
      {replaced(good, "inner: [1]", "inner: [1, 1]"), "products.inner: must ascend"},
      {replaced(good, "forward: [10]", "forward: [10, 11]"), "products.forward: has 2 numbers"},
      {replaced(good, "forward: [10]", "forward: [.nan]"), "products.forward: "},
      {replaced(good, "head: [1000, 2000]", "head: [1000]"), "stages.head: must be [forward, backward]"},
      {replaced(good, "head: [1000, 2000]", "heads: [1000, 2000]"), "stages.head: is missing"},
      {replaced(good, "gbit_per_s: 0.8", "gbit_per_s: 0"), "far.gbit_per_s: 0 is out of range"},
      {replaced(good, "far:", "far: 3\nother:"), "far is made of keys"},
      {good.substr(0, good.find("far:")), "m.yaml:2:1: far: is missing, though nodes is not 1"},
      {good.substr(0, good.find("near:")) + good.substr(good.find("far:")), "near: is missing, though there are more"}};
  for (const auto& [text, expected] : cases)
    EXPECT_NE(complaint(text).find(expected), std::string::npos) << complaint(text);
}

// A rate is exact on the grid, between its neighbours off it, and that of the end beyond.
TEST(ProductRates, BetweenShapes) {
  ProductRates rates;
  rates.rows = {4, 16}, rates.inner = {64, 256}, rates.columns = {64};
  rates.gflops[0] = {10.0, 20.0, 40.0, 80.0};
  EXPECT_DOUBLE_EQ(rates.flop_per_s(Product::forward, 4, 64, 64), 10e9);
  EXPECT_DOUBLE_EQ(rates.flop_per_s(Product::forward, 16, 256, 64), 80e9);
  EXPECT_DOUBLE_EQ(rates.flop_per_s(Product::forward, 1, 64, 1000), 10e9);
  EXPECT_DOUBLE_EQ(rates.flop_per_s(Product::forward, 8, 64, 64), 1e9 / (0.5 / 10.0 + 0.5 / 40.0));
}

}  // namespace
}  // namespace switchyard::plan
