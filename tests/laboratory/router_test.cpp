// The learned router: its gradient against finite differences, its balancing, and what it finds of a tree.
#include "laboratory/router.hpp"

#include <gtest/gtest.h>

#include "base/check.hpp"
#include "laboratory/experiment.hpp"
#include "laboratory/generate.hpp"
#include "laboratory/table_model.hpp"
#include "support/folder.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::laboratory;

/// A batch in which task z comes z % 3 times, each with the slope (z − 5) / 7, and what the router minimises for it
/// with the loads of that moment.
struct Batch {
  const TreeTasks tasks = make_tasks("bend", 4, 2, 8, 1);
  void add(LearnedRouter& router) const {
    for (int z = 0; z < 16; ++z)
      for (int i = 0; i < z % 3; ++i) router.add(z, (z - 5) / 7.0);
  }
  double objective(const LearnedRouter& router, const Assignment& chosen, double aux) const {
    const int experts = 4;
    std::vector<double> load(experts, 0.0), mean(experts, 0.0);
    double sum = 0.0, samples = 15.0;
    for (int z = 0; z < 16; ++z) {
      sum += z % 3 * (z - 5) / 7.0 * router.probability(z, chosen[z]) / samples;
      load[chosen[z]] += z % 3 / samples;
      for (int e = 0; e < experts; ++e) mean[e] += z % 3 / samples * router.probability(z, e);
    }
    for (int e = 0; e < experts; ++e) sum += aux * experts * load[e] * mean[e];
    return sum;
  }
};

TEST(LearnedRouter, GradientsAreFiniteDifferences) {
  const Batch batch;
  for (const auto& [balance, aux] : {std::pair{"none", 0.0}, std::pair{"aux", 3.0}}) {
    LearnedRouter router(batch.tasks, 4, {.balance = balance, .aux = 3.0});
    for (std::size_t i = 0; i < router.weights().size(); ++i) router.weights()[i] = std::sin(3.0 * i);
    router.choose();
    const Assignment chosen = router.assignment();
    batch.add(router);
    const std::vector<double> gradient = router.gradient();
    for (std::size_t i = 0; i < gradient.size(); ++i) {
      const double kept = router.weights()[i], step = 1e-6;
      router.weights()[i] = kept + step, router.choose();
      const double above = batch.objective(router, chosen, aux);
      router.weights()[i] = kept - step, router.choose();
      const double below = batch.objective(router, chosen, aux);
      router.weights()[i] = kept, router.choose();
      EXPECT_NEAR(gradient[i], (above - below) / (2 * step), 1e-8) << balance << " " << i;
    }
  }
}

// The slope that experts give for a gate is that of their loss.
TEST(LearnedRouter, TablesGiveTheSlopeOfTheirGate) {
  const auto loss_at = [](float gate) {
    TableModel model(1, 1, 5, 0.5);
    for (int i = 0; i < 9; ++i) model.train(0, 0, i % 2, 1.0f);
    double sum = 0.0;
    for (int a = 0; a < 5; ++a) sum += std::exp(gate * -model.loss(0, 0, a));
    const double loss = std::log(sum) + gate * model.loss(0, 0, 1);
    return std::pair{loss, model.train(0, 0, 1, gate)};
  };
  EXPECT_NEAR(loss_at(0.6f).second, (loss_at(0.601f).first - loss_at(0.599f).first) / 0.002, 1e-3);
}

// Two of four experts would take all tasks and no gate is worth more: the biases alone even the loads out.
TEST(LearnedRouter, LossFreeBiasesMoveTasksFromFullToEmptyExperts) {
  const Batch batch;
  for (const char* balance : {"free", "none"}) {
    LearnedRouter router(batch.tasks, 4, {.balance = balance, .bias_rate = 0.001, .rate = 0.0});
    router.weights() = {1, 0, 0, 0, -1, 0, 0, 0, 0, 0.5, 0.2, 0.1, 0, -0.5, -0.2, -0.1};
    std::vector<int> count;
    for (int step = 0; step < 1000; ++step) {
      router.choose();
      count.assign(4, 0);
      for (int z = 0; z < 16; ++z) router.add(z, 0.0), ++count[router.assignment()[z]];
      router.update(0.0);
    }
    const int most = *std::max_element(count.begin(), count.end());
    EXPECT_TRUE(std::string(balance) == "free" ? most <= 5 : most == 8) << balance << " " << most;
  }
  EXPECT_THROW(LearnedRouter(batch.tasks, 4, {.balance = "best"}), Error);
}

struct Small {
  test::Folder folder;
  std::string path = folder / "t1";
  Small() { generate({.tasks = 16, .keys = 8, .values = 32, .samples = 300000, .seed = 4, .out = path}); }
};

// Nearer to ideal than to hash, and the tables learn what the router settled on.
TEST(Laboratory, LearnedRoutersFindTheTree) {
  const Small small;
  for (const char* balance : {"aux", "free"})
    for (const int experts : {2, 4}) {
      const Outcome hash = run_experiment({.folder = small.path, .router = "hash"}, experts);
      const Outcome o =
          run_experiment({.folder = small.path, .router = "learned", .learned = {.balance = balance}}, experts);
      EXPECT_GE(o.assignment, o.ideal - 1e-12);
      EXPECT_LT(o.assignment, o.ideal + 0.3 * (hash.assignment - o.ideal)) << balance << " " << experts;
      EXPECT_GT(o.trained, o.assignment);
      EXPECT_LT(o.trained, o.assignment + 0.03) << balance << " " << experts;
    }
}

TEST(Laboratory, TheSameSeedGivesTheSameBytes) {
  const Small small;
  for (const char* model : {"table", "mlp"}) {
    const ExperimentOptions o{
        .folder = small.path, .router = "learned", .samples = 20000, .model = {.model = model, .hidden = 8}};
    const Outcome a = run_experiment(o, 4), b = run_experiment(o, 4);
    EXPECT_EQ(a.assignment, b.assignment) << model;
    EXPECT_EQ(a.trained, b.trained) << model;
  }
}

// Small networks reach what tables reach, if wide enough.
TEST(Laboratory, NetworksReachTheLossOfTheirAssignment) {
  const Small small;
  for (const int experts : {1, 4}) {
    const Outcome o = run_experiment({.folder = small.path, .model = {.model = "mlp", .hidden = 16}}, experts);
    EXPECT_GT(o.trained, o.assignment);
    EXPECT_LT(o.trained, o.assignment + 0.03) << experts;
  }
}

TEST(Laboratory, RefusesWhatItDoesNotKnow) {
  const Small small;
  EXPECT_THROW(run_experiment({.folder = small.path, .model = {.model = "tree"}}, 4), Error);
  EXPECT_THROW(run_experiment({.folder = small.path, .router = "learned", .learned = {.balance = "best"}}, 4), Error);
  EXPECT_THROW(run_experiment({.folder = small.path, .router = "learned"}, 3), Error);
}

}  // namespace
