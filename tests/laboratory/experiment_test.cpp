// Whole experiments against a plain recomputation in double precision, sample by sample from the token file, with Adam
// and Adagrad as their papers write them; and what they refuse.
#include "laboratory/experiment.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <tuple>

#include "data/corpus.hpp"
#include "laboratory/generate.hpp"
#include "laboratory/mlp.hpp"
#include "laboratory/random.hpp"
#include "support/folder.hpp"
#include "support/refusal.hpp"

namespace {

using namespace switchyard;
using namespace switchyard::laboratory;
using Row = std::vector<double>;

/// AdamW by Loshchilov & Hutter 2019, algorithm 2.
struct TextbookAdam {
  Row m, v;
  int t = 0;
  void step(Row& w, const Row& g, double rate, double decay) {
    m.resize(w.size(), 0.0), v.resize(w.size(), 0.0), ++t;
    for (std::size_t i = 0; i < w.size(); ++i) {
      m[i] = 0.9 * m[i] + 0.1 * g[i], v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
      const double mean = m[i] / (1 - std::pow(0.9, t)), square = v[i] / (1 - std::pow(0.999, t));
      w[i] -= rate * mean / (std::sqrt(square) + 1e-8) + rate * decay * w[i];
    }
  }
};

/// 1 in the first half, then falling to 0 at the end.
double fall(double progress) { return progress < 0.5 ? 1.0 : 2.0 - 2.0 * progress; }

Row softmax(const Row& logits, double factor) {
  Row p;
  double sum = 0.0;
  for (const double z : logits) p.push_back(std::exp(factor * z)), sum += p.back();
  for (double& x : p) x /= sum;
  return p;
}

/// Tables with Adagrad at 0.5.
struct PlainTables {
  std::map<std::pair<int, int>, std::pair<Row, Row>> rows;  // (expert, key) → logits and sums of squares
  std::size_t answers;
  Row& logits(int expert, int key) {
    auto& row = rows[{expert, key}];
    row.first.resize(answers, 0.0), row.second.resize(answers, 0.0);
    return row.first;
  }
  double train(int expert, int key, int answer, double gate) {
    Row& w = logits(expert, key);
    Row &squares = rows[{expert, key}].second, p = softmax(w, gate);
    p[static_cast<std::size_t>(answer)] -= 1.0;
    double slope = 0.0;
    for (std::size_t a = 0; a < w.size(); ++a) slope += p[a] * w[a];
    for (std::size_t a = 0; a < w.size(); ++a) {
      squares[a] += gate * p[a] * gate * p[a];
      w[a] -= 0.5 * gate * p[a] / (std::sqrt(squares[a]) + 1e-8);
    }
    return slope;
  }
  void end_batch(double) {}
  double loss(int expert, int key, int answer) {
    return -std::log(softmax(logits(expert, key), 1.0)[static_cast<std::size_t>(answer)]);
  }
};

/// Networks with AdamW at 0.003 unless told otherwise and decay 0.01; an expert without samples rests. Gradients are
/// those of Mlp<double>, which mlp_test compares with finite differences.
struct PlainNetworks {
  int keys;
  double rate;
  std::vector<Mlp<double>> models;
  std::vector<TextbookAdam> adam;
  std::vector<int> samples;
  Row x(int key) const {
    Row one(static_cast<std::size_t>(keys), 0.0);
    one[static_cast<std::size_t>(key)] = 1.0;
    return one;
  }
  double train(int expert, int key, int answer, double gate) {
    ++samples[static_cast<std::size_t>(expert)];
    return models[static_cast<std::size_t>(expert)].add(x(key).data(), answer, gate);
  }
  void end_batch(double progress) {
    for (std::size_t e = 0; e < models.size(); ++e) {
      if (samples[e] == 0) continue;
      Row g = models[e].gradient();
      for (double& one : g) one /= samples[e];
      models[e].update(0.0, 0.0);  // no step, only a fresh gradient
      adam[e].step(models[e].weights(), g, rate * fall(progress), 0.01), samples[e] = 0;
    }
  }
  double loss(int expert, int key, int answer) {
    return models[static_cast<std::size_t>(expert)].loss(x(key).data(), answer);
  }
};

/// The router's choice for a task's path of ±2^-l, and its step after a batch of (task, slope).
struct PlainRouter {
  const TreeTasks& t;
  RouterOptions o;
  std::vector<Row> w;  // (experts × D)
  Row bias = Row(w.size(), 0.0);
  TextbookAdam adam{};
  double cue(int z, int l) const { return std::ldexp((z >> (t.depth - 1 - l)) % 2 ? 1.0 : -1.0, -l); }
  Row probabilities(int z) const {
    Row logits;
    for (const Row& row : w) {
      logits.push_back(0.0);
      for (int l = 0; l < t.depth; ++l) logits.back() += row[static_cast<std::size_t>(l)] * cue(z, l);
    }
    return softmax(logits, 1.0);
  }
  int choice(int z) const {
    Row score = probabilities(z);
    for (std::size_t e = 0; e < w.size(); ++e) score[e] += bias[e];
    return static_cast<int>(std::max_element(score.begin(), score.end()) - score.begin());
  }
  void step(const std::vector<std::pair<int, double>>& batch, double progress) {
    const double n = static_cast<double>(batch.size()), experts = static_cast<double>(w.size());
    Row load(w.size(), 0.0), gradient, weights;
    for (const auto& [z, slope] : batch) load[static_cast<std::size_t>(choice(z))] += 1 / n;
    for (std::size_t e = 0; e < w.size(); ++e)
      for (int l = 0; l < t.depth; ++l) {
        double sum = 0.0;
        for (const auto& [z, slope] : batch) {
          const Row p = probabilities(z);
          for (std::size_t f = 0; f < w.size(); ++f) {  // d P_f / d logit_e = P_f ([e = f] - P_e)
            double value = f == static_cast<std::size_t>(choice(z)) ? slope / n : 0.0;
            if (o.balance == "aux") value += o.aux * experts * load[f] / n;
            sum += value * p[f] * ((e == f) - p[e]) * cue(z, l);
          }
        }
        gradient.push_back(sum), weights.push_back(w[e][static_cast<std::size_t>(l)]);
      }
    for (std::size_t e = 0; e < w.size() && o.balance == "free"; ++e)
      bias[e] += load[e] < 1 / experts ? o.bias_rate : load[e] > 1 / experts ? -o.bias_rate : 0.0;
    adam.step(weights, gradient, o.rate * fall(progress), 0.0);
    for (std::size_t i = 0; i < weights.size(); ++i)
      w[i / static_cast<std::size_t>(t.depth)][i % static_cast<std::size_t>(t.depth)] = weights[i];
  }
};

/// The experiment by the words of experiment.hpp.
template <class PlainExperts>
Outcome plain(const ExperimentOptions& o, int experts, std::int64_t samples, PlainExperts model) {
  const TreeTasks t = generator_of(o.folder);
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(3 * samples));
  data::Corpus::open(o.folder).read(data::Split::train, 0, 3 * samples, tokens.data());
  PlainRouter router{t, o.learned, {}};
  for (std::uint32_t e = 0; e < static_cast<std::uint32_t>(experts); ++e) {
    router.w.emplace_back();
    for (std::uint32_t l = 0; l < static_cast<std::uint32_t>(t.depth); ++l)
      router.w.back().push_back(0.02 * normal(t.seed, Draw::router, l, e, 0));
  }
  router.bias.assign(router.w.size(), 0.0);
  Assignment a = o.router == "hash" ? hash_assignment(t, experts, t.seed) : ideal_assignment(t, experts);
  for (std::int64_t done = 0; done < samples; done += 256) {
    const double progress = double(done) / double(samples);
    const bool routing = o.router == "learned" && progress < 0.5;
    for (int z = 0; z < t.tasks() && routing; ++z) a[static_cast<std::size_t>(z)] = router.choice(z);
    std::vector<std::pair<int, double>> batch;
    for (std::int64_t i = done; i < std::min(done + 256, samples); ++i) {
      const std::int32_t* s = &tokens[static_cast<std::size_t>(3 * i)];
      const int expert = a[static_cast<std::size_t>(s[0])];
      const double gate = routing ? router.probabilities(s[0])[static_cast<std::size_t>(expert)] : 1.0;
      batch.emplace_back(s[0], model.train(expert, s[1] - t.tasks(), s[2] - t.tasks() - t.keys, gate));
    }
    model.end_batch(progress);
    if (routing) router.step(batch, 2 * progress);
    for (int z = 0; z < t.tasks() && routing; ++z) a[static_cast<std::size_t>(z)] = router.choice(z);
  }
  double trained = 0.0;
  for (int z = 0; z < t.tasks(); ++z)
    for (int key = 0; key < t.keys; ++key)
      for (int l = t.first_level(); l <= t.depth; ++l)
        trained += t.task_share[static_cast<std::size_t>(z)] * t.level_share[static_cast<std::size_t>(l)] / t.keys *
                   model.loss(a[static_cast<std::size_t>(z)], key, t.answer(z, key, l));
  return {samples, assignment_loss(t, ideal_assignment(t, experts)), assignment_loss(t, a), trained,
          max_vio(t, a, experts)};
}

struct Folder {
  test::Folder folder;
  std::string path = folder / "t1";
  explicit Folder(const std::string& shape = "bend") {
    generate({.shape = shape, .tasks = 8, .keys = 3, .values = 5, .samples = 6000, .seed = 11, .out = path});
  }
};

void expect_same(const Outcome& found, const Outcome& plain, const std::string& what) {
  EXPECT_EQ(found.samples, plain.samples) << what;
  EXPECT_DOUBLE_EQ(found.ideal, plain.ideal) << what;
  EXPECT_DOUBLE_EQ(found.assignment, plain.assignment) << what;
  EXPECT_DOUBLE_EQ(found.max_vio, plain.max_vio) << what;
  EXPECT_NEAR(found.trained, plain.trained, 2e-4) << what;
}

TEST(Experiment, TablesAreThePlainRecomputation) {
  for (const char* shape : {"bend", "zipf"}) {
    const Folder folder(shape);
    const PlainTables tables{{}, static_cast<std::size_t>(generator_of(folder.path).answers())};
    for (const auto& [router, balance] :
         {std::pair{"oracle", "aux"}, std::pair{"hash", "aux"}, std::pair{"learned", "aux"},
          std::pair{"learned", "free"}, std::pair{"learned", "none"}})
      for (const std::int64_t samples : {1, 512, 700, 6000}) {  // a batch is 256; the second ends the routing of 512
        ExperimentOptions o{.folder = folder.path, .router = router, .samples = samples};
        o.learned.balance = balance, o.learned.rate = 0.05, o.learned.bias_rate = 0.02;
        expect_same(run_experiment(o, 4), plain(o, 4, samples, tables),
                    std::string(shape) + " " + router + " " + balance + " " + std::to_string(samples));
      }
  }
}

TEST(Experiment, NetworksAreThePlainRecomputation) {
  const Folder folder;
  const TreeTasks t = generator_of(folder.path);
  for (const auto& [router, experts, rate] :
       {std::tuple{"oracle", 2, 0.0}, std::tuple{"hash", 16, 0.05}, std::tuple{"learned", 4, 0.0}}) {
    const ExperimentOptions o{
        .folder = folder.path, .router = router, .model = {.model = "mlp", .rate = rate, .hidden = 6}};
    PlainNetworks networks{
        t.keys, rate > 0.0 ? rate : 0.003, {}, std::vector<TextbookAdam>(static_cast<std::size_t>(experts)), {}};
    for (int e = 0; e < experts; ++e) networks.models.emplace_back(MlpShape{t.keys, 6, t.answers()}, t.seed, e);
    networks.samples.assign(networks.models.size(), 0);
    expect_same(run_experiment(o, experts), plain(o, experts, 6000, networks), router);
  }
}

TEST(Experiment, RefusesWhatTheFolderHasNot) {
  const Folder folder;
  const auto said = [](const ExperimentOptions& o, int experts) {
    return test::refusal([&] { run_experiment(o, experts); });
  };
  const std::string samples = "2 " + folder.path + " has 6000 samples, not ";
  EXPECT_TRUE(said({.folder = folder.path, .samples = 6001}, 4).starts_with(samples + "6001; "));
  EXPECT_TRUE(said({.folder = folder.path, .samples = -1}, 4).starts_with(samples + "-1; "));
  EXPECT_TRUE(said({.folder = folder.path, .router = "Oracle"}, 4).starts_with("2 router Oracle is not known"));
  EXPECT_TRUE(said({.folder = folder.path, .model = {.model = ""}}, 4).starts_with("2 --model  is not known"));
  EXPECT_TRUE(said({.folder = folder.path, .router = "learned", .learned = {.balance = "bias"}}, 4)
                  .starts_with("2 --balance bias"));
  for (const int experts : {-4, 0, 3, 12}) {
    EXPECT_TRUE(said({.folder = folder.path}, experts)
                    .starts_with("2 experts " + std::to_string(experts) + " is not a power of two"));
    EXPECT_EQ(test::refusal([&] { require_experts(folder.path, experts); }), said({.folder = folder.path}, experts));
  }
}

}  // namespace
