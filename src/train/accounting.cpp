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
  const std::vector<bool> meet = schedule::meetings(tasks, layout);
  Spans spans;
  for (std::size_t i = 0; i < intervals.size(); ++i) {
    const Interval& task = intervals[i];
    if (meet[i]) {
      spans.emplace_back(task.start, task.end);
      all.exposed += task.end - task.start;
    }
    for (const moe::Hop& hop : {moe::Hop(task.travel), task.travel.near, task.travel.weights}) {
      if (hop.end > 0.0) spans.emplace_back(hop.start, hop.end);
      all.exposed += hop.waited;
    }
  }
  all.busy = length_of_union(spans);
  if (!intervals.empty()) all.step = intervals.back().end - intervals.front().start;
  return all;
}

}  // namespace switchyard::train
