#include "plan/simulation.hpp"

#include <algorithm>
#include <limits>

namespace switchyard::plan {

namespace {
constexpr double never = std::numeric_limits<double>::infinity();
constexpr double crumb = 1e-6;     // bytes: less is rounding
constexpr double instant = 1e-12;  // s: as above
}  // namespace

Simulation::Simulation(const WaySpeed& near, const WaySpeed& far, double slowing)
    : ways_{near, far}, slowing_(slowing) {}

double Simulation::rate(int way, bool computing) const {
  return computing ? std::min(ways_[way].bytes_per_s, ways_[way].while_computing) : ways_[way].bytes_per_s;
}

bool Simulation::done(const Journey& journey) const {
  return journey.left[0] <= 0.0 && journey.left[1] <= 0.0 && journey.there <= all_.step + instant;
}

/// Seconds until a journey's last byte leaves, or arrives.
double Simulation::next_event(bool computing) const {
  double next = never;
  for (int way = 0; way < 2; ++way)
    if (!queues_[way].empty() && rate(way, computing) > 0.0)
      next = std::min(next, journeys_[queues_[way].front()].left[way] / rate(way, computing));
  for (const int j : under_way_)
    if (journeys_[j].there > all_.step + instant) next = std::min(next, journeys_[j].there - all_.step);
  return next;
}

/// Of each way the first journey moves on.
void Simulation::travel(double seconds, bool computing) {
  const double end = all_.step + seconds;
  for (int way = 0; way < 2; ++way) {
    if (queues_[way].empty()) continue;
    Journey& first = journeys_[queues_[way].front()];
    first.left[way] -= seconds * rate(way, computing);
    if (first.left[way] > crumb) continue;
    first.left[way] = 0.0;
    first.there = std::max(first.there, end + ways_[way].latency);
    queues_[way].pop_front();
  }
}

void Simulation::pass(double seconds, bool computing) {
  if (anything_travels()) all_.busy += seconds;
  travel(seconds, computing);
  all_.step += seconds;
  std::erase_if(under_way_, [&](int j) { return done(journeys_[j]); });
}

void Simulation::compute(double seconds) {
  double left = seconds;  // undisturbed
  while (left > 0.0) {
    const double factor = anything_travels() ? 1.0 + slowing_ : 1.0;
    const double whole = left * factor, part = std::min(whole, next_event(true));
    pass(part, true);
    all_.computing += part;
    left = part < whole ? left - part / factor : 0.0;
  }
}

int Simulation::start(double near_bytes, double far_bytes) {
  const int number = static_cast<int>(journeys_.size());
  journeys_.push_back({{near_bytes, far_bytes}});
  if (near_bytes > 0.0) queues_[0].push_back(number);
  if (far_bytes > 0.0) queues_[1].push_back(number);
  if (near_bytes > 0.0 || far_bytes > 0.0) under_way_.push_back(number);
  return number;
}

void Simulation::wait(int journey) {
  while (!done(journeys_[journey])) {
    const double part = next_event(false);
    pass(part, false);
    all_.exposed += part;
  }
}

void Simulation::meet(double latency) {
  double behind = 0.0;
  for (int way = 0; way < 2; ++way) {
    double bytes = 0.0;
    for (const int j : queues_[way]) bytes += journeys_[j].left[way];
    if (bytes > 0.0) behind = std::max(behind, std::min(bytes, ways_[way].buffer) / ways_[way].bytes_per_s);
  }
  for (double left = latency + behind; left > 0.0;) {
    const double part = std::min(left, next_event(false));
    const bool travels = anything_travels();
    pass(part, false);
    if (!travels) all_.busy += part;
    all_.exposed += part, left -= part;
  }
}

}  // namespace switchyard::plan
