#include "train/step.hpp"

#include <bit>
#include <chrono>
#include <thread>
#include <utility>

#include "base/activity.hpp"
#include "base/clock.hpp"
#include "base/ledger.hpp"
#include "base/philox.hpp"
#include "schedule/hops.hpp"
#include "train/captured.hpp"
#include "train/finite.hpp"
#include "train/norm.hpp"
#include "train/optimizer.hpp"
#include "train/schedule.hpp"

namespace switchyard::train {
namespace {

using schedule::Stage;

/// One step under way.
struct Step {
  Machine& m;
  const BatchSource& next;
  std::int64_t number;
  StepResult result;
  std::uint32_t begun = 0;  ///< tasks

  void delay();
  void perform(const Queue& queue, const schedule::Task& task);
  void read_batch();
  void reduce_statistics(const Queue& queue);
  void measure_gradient(const Queue& queue);
  void take(const NormResult& gradient);
  void update(const Queue& queue);
  bool by_graph() const;
  void run_passes(const Queue& queue);
  bool ends_by_graph() const;
  void run_end(const Queue& queue);
  void end(const Queue& queue);
  void run_graphs();
  void run_tasks();
};

/// Of each rank, step and task another one (layout.delay).
void Step::delay() {
  const Philox drawn =
      philox(stream_key(m.config.train.seed ^ std::bit_cast<std::uint64_t>(m.config.layout.delay), Purpose::delay),
             {{static_cast<std::uint32_t>(m.groups.layout.rank), static_cast<std::uint32_t>(number), begun++, 0}});
  std::this_thread::sleep_for(std::chrono::duration<double, std::micro>(m.config.layout.delay * uniform(drawn.v[0])));
}

void Step::perform(const Queue& queue, const schedule::Task& task) {
  if (m.config.layout.delay > 0.0) delay();
  const ledger::For purpose(schedule::purpose_of(task.stage));
  switch (task.stage) {
    case Stage::data:
      return read_batch();
    case Stage::statistics:
      return reduce_statistics(queue);
    case Stage::reduce:
      queue.join();
      return begin_reduction(queue, m.groups, m.parameters, m.gradients, m.bucket_from(task.block), m.timers);
    case Stage::reduce_finish:
      queue.join();
      return finish_reductions(queue, m.parameters, m.gradients);
    case Stage::norm:
      return measure_gradient(queue);
    case Stage::optimizer:
      return update(queue);
    case Stage::gather:
      return gather_values(queue, m.groups, m.parameters, m.gradients, m.timers);
    case Stage::balance:
      for (moe::Layer* layer : m.model->moe_layers()) layer->update_bias(queue, number);
      return;
    default:
      m.model->run(queue, task);
  }
}

void Step::read_batch() {
  result.batch = next(number);
  m.model->begin(m.queue(), result.batch, moe::Pass::train);
}

void Step::reduce_statistics(const Queue& queue) {
  result.loss = m.model->reduce(queue);
  require_finite_loss(m, result.loss.total(), number);
}

/// Where a device needs no host for the norm, the update follows it unseen.
void Step::measure_gradient(const Queue& queue) {
  if (norm_on_device(m.groups, m.parameters))
    begin_norm(queue, m.parameters, m.gradients, m.config.train.clip, m.norm_memory);
  else
    take(gradient_norm(queue, m.groups, m.parameters, m.gradients, m.norm_memory));
}

void Step::take(const NormResult& gradient) {
  require_finite_gradient(m, gradient, number);
  result.gradient_norm = gradient.norm;
}

void Step::update(const Queue& queue) {
  const double clip = m.config.train.clip;
  const double factor = clip > 0.0 && result.gradient_norm > clip ? clip / result.gradient_norm : 1.0;
  result.learning_rate = learning_rate(m.config.train, number);
  const bool unseen = norm_on_device(m.groups, m.parameters);
  m.optimizer.update(queue, m.gradients, m.config.train, {result.learning_rate, factor, number},
                     unseen ? m.norm_memory.state.data() : nullptr);
  if (!unseen) return;
  queue.fence("switchyard::step::norm");
  take(finish_norm(queue, m.parameters, m.norm_memory));
}

/// Steps of the timeline show their tasks one by one.
bool Step::by_graph() const {
  const std::int64_t shown = m.config.record.timeline_every;
  return m.captures && m.eager_steps >= steps_before_capture && (shown == 0 || number % shown != 0);
}

/// Statistics are read after the update: what is not finite has changed nothing.
void Step::run_passes(const Queue& queue) {
  m.model->send(queue);
  bool back = false;
  for (const schedule::Task& task : m.tasks) {
    if (!in_passes(task)) continue;
    if (!std::exchange(back, back || task.direction == schedule::Direction::backward) && back) {
      queue.beside({}, [this](const Queue& other) { m.model->ask_statistics(other); });
      m.model->statistics_later();
    }
    m.model->run(queue, task);
  }
  queue.join();
}

/// Sums of several nodes, and shards, are met on the host.
bool Step::ends_by_graph() const {
  return norm_on_device(m.groups, m.parameters) && !reduction_travels(m.groups, m.parameters);
}

void Step::run_end(const Queue& queue) {
  for (const schedule::Task& task : m.tasks)
    if (in_end(task)) perform(queue, task);
  begin_norm(queue, m.parameters, m.gradients, m.config.train.clip, m.norm_memory);
  m.optimizer.launch(queue, m.gradients, m.norm_memory.state.data());
}

/// After the passes: the update. Its scalars and the index of the tokens are copied while the passes are at work.
void Step::end(const Queue& queue) {
  if (!ends_by_graph()) {
    for (const schedule::Task& task : m.tasks)
      if (!in_passes(task) && task.stage != Stage::data && task.stage != Stage::statistics &&
          task.stage != Stage::balance)
        perform(queue, task);
    return queue.fence("switchyard::train::step::end");
  }
  result.learning_rate = learning_rate(m.config.train, number);
  queue.meanwhile([this](const Queue& other) {
    m.optimizer.take_scalars(other, m.config.train, {result.learning_rate, 1.0, number});
    m.model->index_tokens(other);
  });
  queue.join();
  if (!m.end.ready()) m.end.capture(queue, [&] { run_end(queue); });
  m.end.launch(queue);
  m.model->went_back();
  queue.fence("switchyard::train::step::end");
}

/// After an evaluation the passes are captured anew: what stages leave on the host is then that of an evaluation.
void Step::run_graphs() {
  const Queue& queue = m.queue();
  const double start = now();
  queue.go_beside(true);
  const bool evaluated = m.model->last_pass() != moe::Pass::train;
  result.batch = next(number);
  m.model->take(result.batch, moe::Pass::train);
  m.model->statistics_later();
  if (evaluated || !m.passes.ready()) m.passes.capture(queue, [&] { run_passes(queue); });
  m.passes.launch(queue);
  end(queue);
  reduce_statistics(queue);
  if (ends_by_graph()) take(finish_norm(queue, m.parameters, m.norm_memory));
  for (moe::Layer* layer : m.model->moe_layers()) layer->update_bias(queue, number);
  const double end = now();
  result.intervals.assign(m.tasks.size(), {end, end, 0, {}});
  result.intervals.front().start = start;
  m.timers.seconds[static_cast<int>(Phase::captured)] += end - start;
}

void Step::run_tasks() {
  ++m.eager_steps;
  m.queue().go_beside(m.eager_steps <= steps_before_capture);  // for its memory; later ones are shown task by task
  result.intervals =
      run(m.tasks, m.queues, m.timers, [this](const Queue& queue, const schedule::Task& task) { perform(queue, task); },
          {[this] {
             const bool rows = m.model->poll();
             return m.gradients.poll() || rows;
           },
           &m.pace});
}

/// The journeys of each lane belong to its tasks that send rows, in their order, and so do those of gradients.
void take_travels(const Machine& m, std::vector<Interval>& intervals) {
  std::vector<std::size_t> taken(m.config.layout.lanes, 0);
  std::size_t buckets = 0;
  for (std::size_t i = 0; i < intervals.size(); ++i) {
    const schedule::Task& task = m.tasks[i];
    if (task.stage == Stage::reduce) intervals[i].travel = {m.gradients.hops.at(buckets++), {}, {}};
    if (task.stage != Stage::dispatch && task.stage != Stage::combine) continue;
    const std::vector<moe::Travel>& travels = m.model->travels(task.lane);
    if (!travels.empty()) intervals[i].travel = travels.at(taken[task.lane]++);
  }
}

}  // namespace

StepResult train_step(Machine& m, const BatchSource& next, std::int64_t number) {
  Step step{m, next, number, {}};
  activity::begin(activity::Part::tasks, number);
  ledger::open(m.groups.world.size());
  m.gradients.hops.clear();
  step.result.start = now();
  if (step.by_graph()) {
    step.run_graphs();
  } else {
    step.run_tasks();
    take_travels(m, step.result.intervals);
  }
  step.result.end = now();
  ledger::close();
  return std::move(step.result);
}

StepResult train_step(Machine& m, const data::Batch& batch, std::int64_t number) {
  return train_step(
      m, [&batch](std::int64_t) { return batch; }, number);
}

}  // namespace switchyard::train
