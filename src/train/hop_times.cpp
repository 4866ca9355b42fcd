#include "train/hop_times.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.hpp"

namespace switchyard::train {
namespace {

constexpr double shortest = 1e-9;  // s
constexpr double far_out = 10.0;   // times the median

std::int64_t place(double share, std::int64_t count) {
  return std::min(static_cast<std::int64_t>(share * static_cast<double>(count)), count - 1);
}

}  // namespace

void Histogram::add(double seconds) {
  const double bin = std::floor(std::log2(std::max(seconds, shortest) / shortest) * octave);
  ++bins_[static_cast<std::size_t>(std::min(bin, static_cast<double>(bins_.size() - 1)))];
  ++count_;
}

double Histogram::quantile(double share) const {
  if (count_ == 0) return 0.0;
  std::int64_t left = place(share, count_);
  std::size_t bin = 0;
  while (left >= bins_[bin]) left -= bins_[bin++];
  return shortest * std::exp2((static_cast<double>(bin) + 0.5) / octave);  // the middle of its ratio
}

HopTail tail_of(std::vector<double> seconds) {
  if (seconds.empty()) return {};
  std::sort(seconds.begin(), seconds.end());
  const auto at = [&](double share) {
    return seconds[static_cast<std::size_t>(place(share, static_cast<std::int64_t>(seconds.size())))];
  };
  return {at(0.5), at(0.99), seconds.back()};
}

HopTail HopTimes::add(std::int64_t step, const std::vector<double>& seconds) {
  expect(hops_.empty() ? seconds.empty() : seconds.size() % hops_.size() == 0, "a time of every hop on every rank");
  std::vector<double> went;
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    if (seconds[i] <= 0.0) continue;
    went.push_back(seconds[i]), all_.add(seconds[i]);
    OfKind& of = kinds_[static_cast<std::size_t>(hops_[i % hops_.size()].kind)];
    of.times.add(seconds[i]);
    if (seconds[i] > of.longest.seconds) of.longest = {seconds[i], step, i / hops_.size(), i % hops_.size()};
  }
  return tail_of(std::move(went));
}

std::string HopTimes::tail() const {
  if (all_.count() == 0) return "";
  double max = 0.0;
  for (const OfKind& of : kinds_) max = std::max(max, of.longest.seconds);
  const auto milliseconds = [&](double share) { return std::min(all_.quantile(share), max) * 1e3; };
  return fmt::format(" hop_p50_ms={:.3g} hop_p99_ms={:.3g} hop_max_ms={:.3g}", milliseconds(0.5), milliseconds(0.99),
                     max * 1e3);
}

std::string HopTimes::outlier() const {
  const OfKind& worst = *std::max_element(kinds_.begin(), kinds_.end(),
                                          [](const OfKind& a, const OfKind& b) { return a.excess() < b.excess(); });
  const Longest& longest = worst.longest;
  if (worst.excess() <= far_out) return "";
  const schedule::TaskHop& hop = hops_[longest.hop];
  const schedule::Task& task = tasks_[static_cast<std::size_t>(hop.task)];
  const std::string what = hop.kind == schedule::HopKind::rows ? "" : " (" + schedule::name_of(hop.kind) + ")";
  return fmt::format(
      "slow journey: {} {} of block {}, lane {}{}, took {:.3g} ms on rank {} in step {}, {:.0f} times "
      "the median of the {} hops of that kind since the last line",
      schedule::name_of(task.stage), schedule::name_of(task.direction), task.block, task.lane, what,
      longest.seconds * 1e3, longest.rank, longest.step, worst.excess(), worst.times.count());
}

}  // namespace switchyard::train
