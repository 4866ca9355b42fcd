#include "laboratory/router.hpp"

#include "base/check.hpp"
#include "laboratory/random.hpp"

namespace switchyard::laboratory {

LearnedRouter::LearnedRouter(const TreeTasks& t, int experts, const RouterOptions& options)
    : options_(options),
      tasks_(t.tasks()),
      experts_(experts),
      depth_(t.depth),
      bias_(static_cast<std::size_t>(experts), 0.0),
      probability_(static_cast<std::size_t>(tasks_) * bias_.size()),
      slope_(static_cast<std::size_t>(tasks_), 0.0),
      count_(slope_),
      assignment_(slope_.size()),
      adam_(bias_.size() * static_cast<std::size_t>(t.depth)) {
  check(options.balance == "none" || options.balance == "aux" || options.balance == "free", Exit::usage,
        "--balance " + options.balance + " is not known; take none, aux or free");
  for (int z = 0; z < tasks_; ++z)
    for (int l = 0; l < depth_; ++l) cues_.push_back(((z >> (depth_ - 1 - l)) & 1 ? 1.0 : -1.0) * std::ldexp(1.0, -l));
  for (int e = 0; e < experts; ++e)
    for (int l = 0; l < depth_; ++l)
      weights_.push_back(0.02 *
                         normal(t.seed, Draw::router, static_cast<std::uint32_t>(l), static_cast<std::uint32_t>(e), 0));
  choose();
}

void LearnedRouter::choose() {
  for (int z = 0; z < tasks_; ++z) {
    double* p = &probability_[at(z, 0)];
    const double* cue = &cues_[static_cast<std::size_t>(z * depth_)];
    for (int e = 0; e < experts_; ++e) {
      const double* w = &weights_[static_cast<std::size_t>(e * depth_)];
      p[e] = 0.0;
      for (int l = 0; l < depth_; ++l) p[e] += w[l] * cue[l];
    }
    const double max = *std::max_element(p, p + experts_);
    double sum = 0.0;
    for (int e = 0; e < experts_; ++e) sum += p[e] = std::exp(p[e] - max);
    int best = 0;
    for (int e = 0; e < experts_; ++e) {
      p[e] /= sum;
      if (p[e] + bias_[static_cast<std::size_t>(e)] > p[best] + bias_[static_cast<std::size_t>(best)]) best = e;
    }
    assignment_[static_cast<std::size_t>(z)] = best;
  }
}

void LearnedRouter::add(int task, double slope) {
  slope_[static_cast<std::size_t>(task)] += slope;
  count_[static_cast<std::size_t>(task)] += 1.0;
  samples_ += 1.0;
}

std::vector<double> LearnedRouter::loads() const {
  std::vector<double> loads(bias_.size(), 0.0);
  for (std::size_t z = 0; z < assignment_.size(); ++z)
    loads[static_cast<std::size_t>(assignment_[z])] += count_[z] / samples_;
  return loads;
}

/// slopes[e] += d balance / d P(e | task).
void LearnedRouter::add_balance(int task, const std::vector<double>& loads, std::vector<double>& slopes) const {
  const double share = count_[static_cast<std::size_t>(task)] / samples_;
  for (std::size_t e = 0; e < loads.size(); ++e) slopes[e] += options_.aux * experts_ * loads[e] * share;
}

std::vector<double> LearnedRouter::gradient() const {
  const std::vector<double> load = loads();
  std::vector<double> gradient(weights_.size(), 0.0), slopes(bias_.size());
  for (int z = 0; z < tasks_; ++z) {
    const double* p = &probability_[at(z, 0)];
    const double* cue = &cues_[static_cast<std::size_t>(z * depth_)];
    std::fill(slopes.begin(), slopes.end(), 0.0);
    slopes[static_cast<std::size_t>(assignment_[static_cast<std::size_t>(z)])] =
        slope_[static_cast<std::size_t>(z)] / samples_;
    if (options_.balance == "aux") add_balance(z, load, slopes);
    double mean = 0.0;
    for (std::size_t e = 0; e < slopes.size(); ++e) mean += p[e] * slopes[e];
    for (int e = 0; e < experts_; ++e)
      for (int l = 0; l < depth_; ++l)
        gradient[static_cast<std::size_t>(e * depth_ + l)] +=
            p[e] * (slopes[static_cast<std::size_t>(e)] - mean) * cue[l];
  }
  return gradient;
}

void LearnedRouter::update(double progress) {
  if (options_.balance == "free") {
    const std::vector<double> load = loads();
    const double mean = 1.0 / experts_;
    for (std::size_t e = 0; e < load.size(); ++e)
      bias_[e] += options_.bias_rate * static_cast<double>((load[e] < mean) - (load[e] > mean));
  }
  adam_.step(weights_, gradient(), 1.0, options_.rate * annealed(progress), 0.0);
  std::fill(slope_.begin(), slope_.end(), 0.0);
  std::fill(count_.begin(), count_.end(), 0.0);
  samples_ = 0.0;
}

}  // namespace switchyard::laboratory
