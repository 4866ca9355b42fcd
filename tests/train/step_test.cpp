// What a step does with its gradient, by the definition: clipping, AdamW, biases; what comes before it when the batch
// cannot be read; and the times and bytes of its tasks.
#include "train/step.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "reference/adamw.hpp"
#include "reference/balance.hpp"
#include "support/parameters.hpp"
#include "support/refusal.hpp"
#include "train/schedule.hpp"
#include "train/synthetic.hpp"

namespace switchyard::train {
namespace {

Config base() {
  Config c;
  c.model = {.vocabulary = 61, .width = 16, .blocks = 2, .heads = 2, .context = 8, .hidden = 24};
  c.model.init_std = 0.2;
  c.moe.experts = 5, c.moe.top_k = 2, c.moe.hidden = 12, c.moe.shared_experts = 1, c.moe.router = RouterKind::sigmoid;
  c.moe.bias_rule = BiasRule::proportional, c.moe.bias_rate = 0.05, c.moe.bias_until = 3;
  c.train.batch = 8, c.train.grains = 4, c.train.steps = 4, c.train.warmup = 2, c.train.learning_rate = 1e-2;
  return c;
}

Machine machine_of(const Config& config) { return {config, comm::Communicator::duplicate(MPI_COMM_WORLD)}; }

std::vector<float> read_all(const Parameter& p, const Vector<float>& slab) { return test::read_units(slab.data(), p); }

/// The model of a machine in double, which learns beside it.
class Follower {
 public:
  explicit Follower(const Machine& m) : m_(m) {
    for (const Parameter& p : m.parameters.all()) {
      states_.emplace_back();
      if (!p.adds_to.empty()) continue;
      for (const float value : read_all(p, m.parameters.values(p.placement))) states_.back().push_back({value, 0, 0});
    }
  }
  /// Goes by the gradients that the step has left, and compares what came of them.
  void follow(const StepResult& result, std::int64_t step) {
    double squares = 0.0;
    for_all([&](const Parameter&, std::size_t, double g) { squares += g * g; });
    EXPECT_NEAR(result.gradient_norm, std::sqrt(squares), 1e-9 * std::sqrt(squares));
    EXPECT_EQ(result.learning_rate, learning_rate(m_.config.train, step));
    const double clip = m_.config.train.clip, norm = std::sqrt(squares);
    const double factor = clip == 0.0 ? 1.0 : std::min(1.0, clip / norm);
    for_all([&](const Parameter& p, std::size_t i, double g) {
      const bool decays = p.shape.size() > 1 && !p.name.starts_with("embedding");
      reference::adamw(states_[p.id][i], factor * g, m_.config.train, result.learning_rate, step, decays);
      const double wanted = states_[p.id][i].p;
      ASSERT_NEAR(values_[i], wanted, 2e-6 * (0.1 + std::abs(wanted))) << p.name << " " << i << " step " << step;
    });
    for (const Parameter& p : m_.parameters.all()) {  // which a factor on all gradients changes in proportion
      if (!p.adds_to.empty()) continue;
      const auto first = read_all(p, m_.parameters.first_moments(p.placement)),
                 second = read_all(p, m_.parameters.second_moments(p.placement));
      for (std::size_t i = 0; i < first.size(); ++i) {
        const reference::AdamWState& wanted = states_[p.id][i];
        ASSERT_NEAR(first[i], wanted.m, 2e-6 * factor * norm) << p.name << " " << i << " step " << step;
        ASSERT_NEAR(second[i], wanted.v, 2e-6 * wanted.v + 1e-30) << p.name << " " << i << " step " << step;
      }
    }
  }

 private:
  template <class Visit>
  void for_all(const Visit& visit) {
    for (const Parameter& p : m_.parameters.all()) {
      if (!p.adds_to.empty()) continue;
      values_ = read_all(p, m_.parameters.values(p.placement));
      const auto gradient = read_all(p, m_.gradients.slab[static_cast<int>(p.placement)]);
      for (std::size_t i = 0; i < gradient.size(); ++i) visit(p, i, gradient[i]);
    }
  }
  const Machine& m_;
  std::vector<std::vector<reference::AdamWState>> states_;
  std::vector<float> values_;
};

TEST(Step, ClipsTheWholeGradientAndMovesEveryParameterByAdamW) {
  for (const double clip : {0.0, 0.05, 1e9}) {
    Config config = base();
    config.train.clip = clip, config.train.weight_decay = 3.0;
    Machine m = machine_of(config);
    Follower follower(m);
    for (std::int64_t step = 1; step <= 4; ++step) {
      const StepResult result = train_step(m, synthetic_batch(config, m.groups.layout, step), step);
      EXPECT_TRUE(clip != 0.05 || result.gradient_norm > 2 * clip) << "or nothing is clipped";
      follower.follow(result, step);
    }
  }
}

TEST(Step, MovesTheBiasByItsCountsUntilItIsFrozen) {
  const Config config = base();
  Machine m = machine_of(config);
  for (std::int64_t step = 1; step <= 4; ++step) {
    std::vector<std::vector<float>> before;
    for (const moe::Layer* layer : m.model->moe_layers()) before.push_back(layer->bias());
    train_step(m, synthetic_batch(config, m.groups.layout, step), step);
    for (std::size_t l = 0; l < before.size(); ++l) {
      const moe::Layer& layer = *m.model->moe_layers()[l];
      EXPECT_EQ(layer.statistics().bias, before[l]) << "that of the routing, not of the next step";
      std::vector<double> wanted(before[l].begin(), before[l].end());
      if (step < config.moe.bias_until)
        wanted = reference::moved_bias(BiasRule::proportional, 0.05, layer.statistics().assigned, wanted);
      for (std::size_t e = 0; e < wanted.size(); ++e)
        EXPECT_NEAR(layer.bias()[e], wanted[e], 1e-7) << "step " << step << " layer " << l << " expert " << e;
    }
  }
}

TEST(Step, AsksOnceForItsBatchAndIsAsIfItHadNotBegunWhereThereIsNone) {
  const Config config = base();
  Machine m = machine_of(config), other = machine_of(config);
  std::vector<std::int64_t> asked;
  const BatchSource source = [&](std::int64_t step) {
    asked.push_back(step);
    check(asked.size() != 2, Exit::corrupt, "a damaged shard");
    return synthetic_batch(config, m.groups.layout, step);
  };
  for (std::int64_t step = 1; step <= 3; ++step) {
    if (step == 2) {
      EXPECT_EQ(test::refusal([&] { train_step(m, source, step); }), "4 a damaged shard");
    }
    const StepResult got = train_step(m, source, step),
                     expected = train_step(other, synthetic_batch(config, other.groups.layout, step), step);
    EXPECT_EQ(got.batch.tokens, expected.batch.tokens);
    EXPECT_EQ(got.loss.total(), expected.loss.total());
    EXPECT_EQ(got.gradient_norm, expected.gradient_norm);
  }
  EXPECT_EQ(asked, (std::vector<std::int64_t>{1, 2, 2, 3}));
}

TEST(Step, HasOneIntervalATaskOneAfterAnotherInsideOfIt) {
  const Config config = base();
  Machine m = machine_of(config);
  const StepResult result = train_step(m, synthetic_batch(config, m.groups.layout, 1), 1);
  ASSERT_EQ(result.intervals.size(), m.tasks.size());
  double at = result.start, phases[Timers::phases] = {};
  for (std::size_t i = 0; i < m.tasks.size(); ++i) {
    const Interval& interval = result.intervals[i];
    EXPECT_GE(interval.start, at - 1e-6) << schedule::text_of(static_cast<int>(i), m.tasks[i]);
    EXPECT_GE(interval.end, interval.start);
    EXPECT_EQ(interval.bytes, 0) << "one rank sends nothing";
    at = interval.end;
    phases[static_cast<int>(schedule::phase_of(m.tasks[i].stage))] += interval.end - interval.start;
  }
  EXPECT_LE(at, result.end + 1e-6);
  for (int p = 0; p < Timers::phases; ++p) EXPECT_NEAR(m.timers.seconds[p], phases[p], 1e-9) << phase_names()[p];
}

// Bytes belong to the task in which they are counted, whatever their phase; what throws ends the list.
TEST(Tasks, AreDoneInTheirOrderEachWithItsBytes) {
  using schedule::Stage;
  const std::vector<Stage> stages{Stage::data, Stage::dispatch, Stage::head, Stage::dispatch_finish};
  std::vector<schedule::Task> tasks;
  for (const Stage stage : stages) tasks.push_back({stage, schedule::Direction::forward, 0, 0, 0, {}});
  const std::vector<Queue> queues(1);
  Timers timers;
  timers.bytes[static_cast<int>(Phase::reduce)] = 1000, timers.seconds[static_cast<int>(Phase::head)] = 50.0;
  std::vector<Stage> done;
  const Perform perform = [&](const Queue&, const schedule::Task& task) {
    done.push_back(task.stage);
    if (task.stage == Stage::dispatch) timers.bytes[static_cast<int>(Phase::dispatch)] += 7;
    if (task.stage == Stage::dispatch_finish)
      timers.bytes[static_cast<int>(Phase::dispatch)] += 11, timers.bytes[static_cast<int>(Phase::plan)] += 100;
  };
  std::vector<std::int64_t> bytes;
  for (const Interval& interval : run(tasks, queues, timers, perform)) bytes.push_back(interval.bytes);
  EXPECT_EQ(bytes, (std::vector<std::int64_t>{0, 7, 0, 111}));
  EXPECT_EQ(done, stages);
  EXPECT_GE(timers.seconds[static_cast<int>(Phase::head)], 50.0) << "added to";
  done.clear();
  EXPECT_EQ(test::refusal([&] {
              run(tasks, queues, timers, [&](const Queue& queue, const schedule::Task& task) {
                perform(queue, task);
                check(task.stage != Stage::dispatch, Exit::memory, "no memory");
              });
            }),
            "8 no memory");
  EXPECT_EQ(done, (std::vector<Stage>{Stage::data, Stage::dispatch}));
}

}  // namespace
}  // namespace switchyard::train
