// Steps that are captured as a graph, where this build has graphs, give the bits of those that are not; and what cannot
// be captured says why.
#include "train/captured.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "base/check.hpp"
#include "support/refusal.hpp"
#include "train/bits.hpp"
#include "train/golden.hpp"
#include "train/machine.hpp"
#include "train/step.hpp"
#include "train/synthetic.hpp"

namespace switchyard::train {
namespace {

using Lines = std::vector<std::string>;

Lines bits_of(Config config, GraphChoice graph) {
  config.train.graph = graph, config.train.steps = steps_before_capture + 3;
  return trained_bits(config, comm::Communicator::duplicate(MPI_COMM_WORLD));
}

TEST(Captured, GivesTheSameBitsAsTaskByTask) {
  int captured = 0;
  for (const GoldenRun& run : golden_runs()) {
    captured += captures(run.config, 1);
    EXPECT_EQ(first_difference(bits_of(run.config, GraphChoice::auto_), bits_of(run.config, GraphChoice::off)), "")
        << run.name;
  }
  EXPECT_EQ(captured > 10, Graph::available());
}

/// Losses, biases and rows sent of steps that have an evaluation among them.
std::vector<double> around_an_evaluation(Config config, GraphChoice graph) {
  config.train.graph = graph;
  Machine m(config, comm::Communicator::duplicate(MPI_COMM_WORLD));
  std::vector<double> seen;
  for (int step = 1; step <= steps_before_capture + 4; ++step) {
    seen.push_back(train_step(m, synthetic_batch(m.config, m.groups.layout, step), step).loss.total());
    for (const moe::Layer* layer : m.model->moe_layers()) {
      const std::vector<float> bias = layer->bias();
      seen.insert(seen.end(), bias.begin(), bias.end());
      const std::vector<std::int64_t>& traffic = layer->statistics().traffic;
      seen.insert(seen.end(), traffic.begin(), traffic.end());
    }
    if (step != steps_before_capture + 2) continue;
    m.model->forward(m.queue(), synthetic_batch(m.config, m.groups.layout, 100), moe::Pass::evaluate);
    m.model->reduce(m.queue());
  }
  return seen;
}

TEST(Captured, GoesOnAfterAnEvaluation) {
  for (const GoldenRun& run : golden_runs()) {
    if (Graph::available() && !captures(run.config, 1)) continue;
    EXPECT_EQ(around_an_evaluation(run.config, GraphChoice::auto_), around_an_evaluation(run.config, GraphChoice::off))
        << run.name;
  }
}

struct Hindrance {
  const char* name;
  std::function<void(Config&)> change;
  const char* says;
};

TEST(Captured, SaysWhatHinders) {
  const std::vector<Hindrance> hindrances{
      {"lanes", [](Config& c) { c.layout.lanes = 2; }, "several lanes or waves"},
      {"waves", [](Config& c) { c.layout.lanes = c.layout.waves = 2; }, "several lanes or waves"},
      {"loss", [](Config& c) { c.moe.aux_loss = 0.01; }, "balancing losses"},
      {"importance", [](Config& c) { c.moe.importance_loss = 0.01; }, "balancing losses"},
      {"z", [](Config& c) { c.moe.z_loss = 1e-3; }, "balancing losses"},
      {"noise", [](Config& c) { c.moe.router = RouterKind::noisy_topk; }, "noise"},
  };
  const auto run = std::find_if(golden_runs().begin(), golden_runs().end(),
                                [](const GoldenRun& golden) { return golden.name == "one-expert"; });
  const Config free = run->config;
  EXPECT_EQ(fault_of_capture(free, 1).empty(), Graph::available());
  EXPECT_NE(fault_of_capture(free, 2), "");
  for (const Hindrance& h : hindrances) {
    Config config = free;
    h.change(config);
    const std::string fault = fault_of_capture(config, 1);
    EXPECT_FALSE(captures(config, 1)) << h.name;
    EXPECT_NE(fault.find(Graph::available() ? h.says : "no graphs"), std::string::npos) << h.name << ": " << fault;
    config.train.graph = GraphChoice::on;
    EXPECT_NE(test::refusal([&] {
                Machine machine(config, comm::Communicator::duplicate(MPI_COMM_WORLD));
              }).find("train.graph is on, but " + fault),
              std::string::npos)
        << h.name;
  }
  Config off = free;
  off.train.graph = GraphChoice::off;
  EXPECT_FALSE(captures(off, 1));
}

}  // namespace
}  // namespace switchyard::train
