#include "train/accounting.hpp"

#include <algorithm>
#include <utility>

namespace switchyard::train {
namespace {

using schedule::Stage;

using Spans = std::vector<std::pair<double, double>>;

double length_of_union(Spans spans) {
  std::sort(spans.begin(), spans.end());
  double length = 0.0, reached = 0.0;
  for (const auto& [start, end] : spans) {
    if (length == 0.0 && reached == 0.0) reached = start;
    length += std::max(0.0, end - std::max(start, reached));
    reached = std::max(reached, end);
  }
  return length;
}

}  // namespace

const moe::Hop& hop_of(const Interval& interval, schedule::HopKind kind) {
  switch (kind) {
    case schedule::HopKind::near:
      return interval.travel.near;
    case schedule::HopKind::weights:
      return interval.travel.weights;
    default:
      return interval.travel;
  }
}

Communication communication(const std::vector<schedule::Task>& tasks, const std::vector<Interval>& intervals,
                            const Layout& layout) {
  Communication all;
  std::array<Spans, std::tuple_size_v<decltype(all.parts)>> spans;
  const auto add = [&](ledger::Purpose purpose, double start, double end, double exposed) {
    const auto p = static_cast<std::size_t>(purpose);
    if (end > 0.0) spans[p].emplace_back(start, end);
    all.parts[p].exposed += exposed;
  };
  const std::vector<bool> meet = schedule::meetings(tasks, layout);
  for (std::size_t i = 0; i < intervals.size(); ++i) {
    const Interval& task = intervals[i];
    if (meet[i]) add(schedule::purpose_of(tasks[i].stage), task.start, task.end, task.end - task.start);
    for (const schedule::HopKind kind :
         {schedule::HopKind::rows, schedule::HopKind::near, schedule::HopKind::weights}) {
      const moe::Hop& hop = hop_of(task, kind);
      add(schedule::purpose_of(tasks[i].stage, tasks[i].direction, kind), hop.start, hop.end, hop.waited);
    }
  }
  Spans together;
  for (std::size_t p = 0; p < spans.size(); ++p) {
    all.parts[p].busy = length_of_union(spans[p]);
    all.exposed += all.parts[p].exposed;
    together.insert(together.end(), spans[p].begin(), spans[p].end());
  }
  all.busy = length_of_union(std::move(together));
  if (!intervals.empty()) all.step = intervals.back().end - intervals.front().start;
  Spans at_work;
  for (const Interval& task : intervals) at_work.emplace_back(task.start, task.end);
  all.compute = length_of_union(std::move(at_work)) - all.exposed;
  return all;
}

}  // namespace switchyard::train
