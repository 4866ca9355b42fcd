#include "train/forecast.hpp"

#include <cstdio>
#include <utility>

#include "schedule/hops.hpp"
#include "train/progress.hpp"

namespace switchyard::train {
namespace {

std::string share_text(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", share);
  return text;
}

}  // namespace

void ForecastWatch::Sums::add(std::int64_t step, const MeasuredStep& measured) {
  if (steps++ == 0) first = step;
  last = step;
  seconds += measured.seconds, busy += measured.busy, exposed += measured.exposed;
}

double ForecastWatch::Sums::hidden_share() const { return schedule::hidden_share(busy, exposed); }

std::string ForecastWatch::line() const {
  const std::string of = " (layout.machine " + forecast_.machine + ")";
  if (!predicts()) return "nothing is predicted: " + forecast_.why_not + of;
  return "plan predicts steps of " + milliseconds(forecast_.step) + " with a hidden share η of " +
         share_text(forecast_.hidden_share) + of;
}

bool ForecastWatch::falls_short(const Sums& sums) const {
  return sums.hidden_share() < forecast_.hidden_share - tolerance;
}

std::string ForecastWatch::add(std::int64_t step, const MeasuredStep& measured) {
  if (!predicts() || seen_++ < first_steps) return "";
  all_.add(step, measured);
  recent_.add(step, measured);
  if (recent_.steps < window_) return "";
  const Sums sums = std::exchange(recent_, {});
  if (!falls_short(sums)) return "";
  window_ *= 2;
  return "hidden share η " + share_text(sums.hidden_share()) + " over steps " + std::to_string(sums.first) + "-" +
         std::to_string(sums.last) + ", plan predicted " + share_text(forecast_.hidden_share) + " (layout.machine " +
         forecast_.machine + "): see `yardstick timeline` for what ranks wait for, docs/planning.md for what a plan " +
         "does not know";
}

ForecastWatch::Verdict ForecastWatch::verdict() const {
  if (!predicts() || all_.steps == 0) return {};
  const auto steps = static_cast<double>(all_.steps);
  return {"steps " + std::to_string(all_.first) + "-" + std::to_string(all_.last) + " took " +
              milliseconds(all_.seconds / steps) + " with a hidden share η of " + share_text(all_.hidden_share()) +
              ", plan predicted " + milliseconds(forecast_.step) + " and " + share_text(forecast_.hidden_share) +
              " (layout.machine " + forecast_.machine + ")",
          falls_short(all_)};
}

}  // namespace switchyard::train
