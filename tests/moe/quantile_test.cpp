// The known answer of balancing: a stream of tokens that stays as it is, whose scores favour some experts by a known
// skew. A quantile evens it at once, steps of the sign rule in as many as range / u.
#include <gtest/gtest.h>

#include <random>

#include "config/estimate.hpp"
#include "moe/balancers/balancer.hpp"
#include "moe/cutoffs.hpp"
#include "moe/routers/selection.hpp"
#include "moe/tally.hpp"
#include "support/queue.hpp"
#include "support/values.hpp"
#include "tensor/arena.hpp"

namespace switchyard::moe {
namespace {

using test::on_device;

struct Stream {
  int experts, top_k, tokens;
  double skew;  ///< of the last expert's scores over the first's
};

/// Scores (T, E): 0.3, the expert's part of the skew, and noise of deviation 0.1.
std::vector<float> scores_of(const Stream& s) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> noise(0.0, 0.1);
  std::vector<float> score;
  for (int i = 0; i < s.tokens * s.experts; ++i)
    score.push_back(
        static_cast<float>(std::clamp(0.3 + s.skew * (i % s.experts) / s.experts + noise(random), 0.0, 1.0)));
  return score;
}

struct Memory {
  Memory(Arena& arena, const nn::Rows& rows, const Stream& s)
      : scores(make_scores(arena, s.experts, s.tokens, 0)),
        choice(make_choice(arena, s.tokens, s.top_k)),
        tally(make_tally(arena, rows, s.experts, {4, 1000})) {}
  Scores scores;
  Choice choice;
  Tally tally;
};

/// One sequence of all tokens, and a rule with its bias.
class Balanced {
 public:
  Balanced(const Stream& stream, const MoeConfig& moe)
      : stream_(stream), rows_(rows_of(stream)), memory_("test::quantile", rows_, stream), bias_(stream.experts, 0.0f) {
    config_.moe = moe;
    config_.moe.experts = stream.experts, config_.moe.top_k = stream.top_k;
    const auto score = scores_of(stream);
    Kokkos::deep_copy(Vector<float>(memory_->scores.score.data(), score.size()), on_device(score));
    for (const auto& v : {memory_->scores.inverse, memory_->scores.lse, memory_->scores.entropy})
      Kokkos::deep_copy(v, 0.0f);
  }

  /// MaxVio of the batch with the bias so far, which then moves.
  double step(std::int64_t number) {
    const CutoffBins bins = cutoff_bins(bias_, config_.moe);
    const SelectionBias bias{on_device(bias_), on_device(std::vector<float>{bins.first, bins.per_unit})};
    RouterShape shape = router_shape(config_.moe, stream_.experts);
    const Matrix<float>& score = memory_->scores.score;
    select(test::queue(), shape, {score, score, bias.of}, memory_->choice, memory_->tally.token_margin);
    Kokkos::deep_copy(memory_->choice.weight, 1.0f);
    count(test::queue(), memory_->choice, memory_->scores, bias, memory_->tally);
    LayerStatistics batch;
    for (const std::int32_t n : host_values(memory_->tally.assigned)) batch.assigned.push_back(n);
    for (const std::int32_t n : host_values(memory_->tally.cutoffs)) batch.cutoffs.push_back(n);
    for (const auto& balancer : make_balancers(config_)) balancer->update(number, batch, bias_);
    return max_vio(batch.assigned);
  }

 private:
  static nn::Rows rows_of(const Stream& s) {
    Config c;
    c.model.context = s.tokens, c.train.batch = c.train.grains = 1;
    return nn::make_rows(c, layout_of(c, 1));
  }

  Stream stream_;
  nn::Rows rows_;
  Placed<Memory> memory_;
  Config config_;
  std::vector<float> bias_;
};

/// MaxVio of so many batches.
std::vector<double> seen(const Stream& stream, BiasRule rule, double rate, int steps) {
  MoeConfig moe;
  moe.router = RouterKind::sigmoid, moe.bias_rule = rule, moe.bias_rate = rate;
  Balanced balanced(stream, moe);
  std::vector<double> all;
  for (int step = 1; step <= steps; ++step) all.push_back(balanced.step(step));
  return all;
}

double floor_of(const Stream& s) { return max_vio_floor(s.tokens, s.top_k, s.experts); }

TEST(Quantile, EvensAStreamOfSmallSkewInOneStep) {
  for (const Stream& stream : {Stream{64, 2, 8192, 0.02}, {64, 1, 8192, 0.02}, {256, 8, 4096, 0.02}}) {
    const auto vio = seen(stream, BiasRule::quantile, 1.0, 2);
    EXPECT_GT(vio[0], 1.2 * floor_of(stream)) << stream.experts << " of " << stream.top_k << ": the stream is skewed";
    EXPECT_LT(vio[1], floor_of(stream)) << stream.experts << " of " << stream.top_k;
  }
}

// The cutoffs of a skewed stream are themselves those of the favoured experts, so that of a large skew a rest is left,
// which the next quantiles take.
TEST(Quantile, EvensAStreamOfLargeSkewInAFew) {
  for (const Stream& stream : {Stream{64, 2, 8192, 0.3}, {16, 2, 8192, 0.3}, {256, 8, 4096, 0.3}, {7, 1, 8192, 0.3}}) {
    const auto vio = seen(stream, BiasRule::quantile, 1.0, 6);
    EXPECT_LT(vio[1], vio[0] / 3.0) << stream.experts << " of " << stream.top_k;
    EXPECT_LT(vio[5], floor_of(stream)) << stream.experts << " of " << stream.top_k;
  }
}

TEST(Quantile, IsWhatTheSignRuleReachesInRangeOverRateSteps) {
  const Stream stream{64, 2, 8192, 0.3};
  const double rate = 0.01;  // and the range of the skew 0.3: about fifteen steps up and down from the middle
  const auto vio = seen(stream, BiasRule::centred_sign, rate, 20);
  EXPECT_GT(vio[1], 0.8 * vio[0]);
  EXPECT_GT(vio[7], 4.0 * floor_of(stream)) << "half of the way";
  EXPECT_LT(vio[19], 3.0 * floor_of(stream));
}

// Scores within a thousandth of one another: bins over [-1, 1] tell nothing apart, those of a stated range do.
TEST(Quantile, NeedsARangeThatFitsTheScores) {
  const auto ratio = [&](double range) {
    MoeConfig moe;
    moe.bias_rule = BiasRule::quantile, moe.bias_range = range;
    LayerStatistics batch;
    batch.assigned.assign(2, 500);
    batch.cutoffs.assign(2 * 1000, 0);
    std::vector<float> bias(2, 0.0f);
    const CutoffBins bins = cutoff_bins(bias, moe);
    for (int t = 0; t < 1000; ++t)
      for (int e = 0; e < 2; ++e) {
        const double gap = 1e-3 * (t / 1000.0 + 0.5 * e - 0.5);
        ++batch.cutoffs[e * 1000 + static_cast<int>((gap - bins.first) * bins.per_unit)];
      }
    Config c;
    c.moe = moe;
    make_balancers(c).at(0)->update(1, batch, bias);
    return (bias[1] - bias[0]) / 0.5e-3;
  };
  EXPECT_NEAR(ratio(0.01), 1.0, 0.05);
  EXPECT_GT(std::abs(ratio(1.0) - 1.0), 0.2);
}

}  // namespace
}  // namespace switchyard::moe
