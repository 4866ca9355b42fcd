// Batches: each epoch is a permutation of the sequences, and every layout sees the same batch, cut along grains.
#include "data/batch.hpp"

#include <algorithm>
#include <cmath>

#include "data/support.hpp"

namespace switchyard::data {
namespace {

Config small_config() {
  Config c;
  c.model.context = 16;
  c.train.batch = 12;
  c.train.grains = 6;
  c.train.evaluate_tokens = 400;
  return c;
}

Layout layout_of(int ranks, int rank, const Config& c) {
  return {.ranks = ranks, .rank = rank, .expert_parallel = ranks, .grains = c.train.grains};
}

TEST(Permute, IsABijectionForEveryLength) {
  for (std::int64_t n = 1; n <= 2000; n += n < 300 ? 1 : 37) {
    std::vector<int> hit(n);
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t p = permute(7, 3, i, n);
      ASSERT_TRUE(p >= 0 && p < n) << n;
      ++hit[p];
    }
    EXPECT_EQ(std::count(hit.begin(), hit.end(), 1), n);
  }
}

TEST(Permute, EpochsAndSeedsGiveOtherOrders) {
  constexpr std::int64_t n = 1000;
  const auto order = [](std::uint64_t seed, std::int64_t epoch) {
    std::vector<std::int64_t> out;
    for (std::int64_t i = 0; i < n; ++i) out.push_back(permute(seed, epoch, i, n));
    return out;
  };
  const auto first = order(1, 0);
  EXPECT_EQ(first, order(1, 0));
  for (const auto& other : {order(1, 1), order(2, 0), order(1, std::int64_t{1} << 33)}) {
    int fixed = 0;
    for (std::int64_t i = 0; i < n; ++i) fixed += first[i] == other[i];
    EXPECT_LT(fixed, 10);  // one is expected
  }
}

/// Sum of |p(i) − i| of a random permutation is about n²/3.
TEST(Permute, MovesPlacesFar) {
  constexpr std::int64_t n = 3000;
  double moved = 0;
  for (std::int64_t i = 0; i < n; ++i) moved += std::abs(static_cast<double>(permute(5, 0, i, n) - i));
  EXPECT_NEAR(moved / (static_cast<double>(n) * n), 1.0 / 3.0, 0.02);
}

TEST(Batches, AnEpochSeesEverySequenceOnce) {
  const TestFolder folder;
  const Corpus corpus = Corpus::open(small_corpus(folder, 40));
  const Config c = small_config();
  const Batches batches(corpus, c, layout_of(1, 0, c));
  const std::int64_t n = (corpus.tokens(Split::train) - 1) / c.model.context;
  std::vector<std::int64_t> seen;
  for (std::int64_t step = 1; static_cast<std::int64_t>(seen.size()) < 2 * n; ++step)
    for (const std::int64_t p : batches.train(step).position) seen.push_back(p / c.model.context);
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::vector<std::int64_t> sequences(seen.begin() + epoch * n, seen.begin() + (epoch + 1) * n);
    std::sort(sequences.begin(), sequences.end());
    for (std::int64_t i = 0; i < n; ++i) EXPECT_EQ(sequences[i], i);
  }
  EXPECT_NE(std::vector<std::int64_t>(seen.begin(), seen.begin() + n),
            std::vector<std::int64_t>(seen.begin() + n, seen.begin() + 2 * n));
}

TEST(Batches, TokensAndTargetsAreTheStreams) {
  const TestFolder folder;
  const Corpus corpus = Corpus::open(small_corpus(folder, 40));
  const Config c = small_config();
  const Batches batches(corpus, c, layout_of(1, 0, c));
  const Batch b = batches.train(3);
  EXPECT_EQ(b.step, 3) << "what noise, tags and records call it";
  ASSERT_EQ(b.position.size(), 12u);
  ASSERT_EQ(b.tokens.size(), 12u * 16u);
  for (int s = 0; s < 12; ++s)
    for (int t = 0; t < 16; ++t) {
      std::int32_t pair[2];
      corpus.read(Split::train, b.position[s] + t, 2, pair);
      EXPECT_EQ(b.tokens[s * 16 + t], pair[0]);
      EXPECT_EQ(b.targets[s * 16 + t], pair[1]);
    }
}

void append(Batch& all, const Batch& part) {
  EXPECT_EQ(part.sequences.first, all.sequences.last);
  all.sequences.last = part.sequences.last;
  all.tokens.insert(all.tokens.end(), part.tokens.begin(), part.tokens.end());
  all.targets.insert(all.targets.end(), part.targets.begin(), part.targets.end());
  all.position.insert(all.position.end(), part.position.begin(), part.position.end());
}

TEST(Batches, EveryLayoutSeesTheSameBatch) {
  const TestFolder folder;
  const Corpus corpus = Corpus::open(small_corpus(folder, 40));
  const Config c = small_config();
  const Batches whole(corpus, c, layout_of(1, 0, c));
  for (const int ranks : {2, 3, 5, 8})
    for (const std::int64_t i : {1, 2, 57}) {
      Batch train, validation;
      for (int r = 0; r < ranks; ++r) {
        const Batches mine(corpus, c, layout_of(ranks, r, c));
        append(train, mine.train(i));
        if (i < whole.evaluation_batches()) append(validation, mine.validation(i));
      }
      EXPECT_EQ(train.tokens, whole.train(i).tokens) << ranks;
      EXPECT_EQ(train.targets, whole.train(i).targets) << ranks;
      EXPECT_EQ(train.position, whole.train(i).position) << ranks;
      EXPECT_EQ(train.sequences, whole.train(i).sequences) << ranks;
      if (i >= whole.evaluation_batches()) continue;
      EXPECT_EQ(validation.tokens, whole.validation(i).tokens) << ranks;
    }
}

TEST(Batches, HeldOutTokensAreWholeBatchesInOrder) {
  const TestFolder folder;
  const Corpus corpus = Corpus::open(small_corpus(folder, 40));
  Config c = small_config();
  EXPECT_EQ(Batches(corpus, c, layout_of(1, 0, c)).evaluation_batches(), 400 / (12 * 16));
  c.train.evaluate_tokens = 1;
  const Batches one(corpus, c, layout_of(1, 0, c));
  EXPECT_EQ(one.evaluation_batches(), 1);
  for (int s = 0; s < 12; ++s) EXPECT_EQ(one.validation(0).position[s], s * 16);
}

TEST(Batches, OtherHeldOutTokensThanAskedForAreSaid) {
  const TestFolder folder;
  const Corpus corpus = Corpus::open(small_corpus(folder, 40));
  Config c = small_config();
  const auto note = [&] { return Batches(corpus, c, layout_of(1, 0, c)).evaluation_note(); };
  const auto said = [&](std::int64_t read) {
    return note().find("reads " + std::to_string(read) + " tokens, not " + std::to_string(c.train.evaluate_tokens)) !=
           std::string::npos;
  };
  EXPECT_TRUE(said(384)) << note();  // whole batches of 192
  c.train.evaluate_tokens = 1 << 20;
  EXPECT_TRUE(said((corpus.tokens(Split::validation) - 1) / 192 * 192)) << note();
  c.train.evaluate_tokens = 384;
  EXPECT_EQ(note(), "");
  c.train.evaluate_tokens = 400, c.train.evaluate_every = 0;
  EXPECT_EQ(note(), "");
}

TEST(Batches, TooFewTokensNameTheCorpusAndTheNeed) {
  const TestFolder folder;
  const std::string path = small_corpus(folder, 40);
  const Corpus corpus = Corpus::open(path);
  Config c = small_config();
  c.train.batch = 6000;
  const std::string error = error_of([&] { Batches(corpus, c, layout_of(1, 0, c)); });
  EXPECT_EQ(error.rfind("2: " + path, 0), 0u) << error;
  EXPECT_NE(error.find(std::to_string(corpus.tokens(Split::train)) + " training tokens"), std::string::npos) << error;
  EXPECT_NE(error.find("96001"), std::string::npos) << error;
  c.train.batch = 300;  // enough to train on, too few held out
  const std::string held_out = error_of([&] { Batches(corpus, c, layout_of(1, 0, c)); });
  EXPECT_NE(held_out.find("held-out"), std::string::npos) << held_out;
  c.train.evaluate_every = 0;
  EXPECT_EQ(Batches(corpus, c, layout_of(1, 0, c)).evaluation_batches(), 0);
}

}  // namespace
}  // namespace switchyard::data
