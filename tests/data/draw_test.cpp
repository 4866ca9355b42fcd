// Which tokens are drawn when: places of a permutation, batches of the smallest corpora, and how documents and shards
// fall to the splits.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "base/philox.hpp"
#include "data/batch.hpp"
#include "data/check.hpp"
#include "data/support.hpp"

namespace switchyard::data {
namespace {

/// An llm.c shard of the tokens first, first + 1, …, lowest byte first.
void write_llmc(const std::string& path, int first, int count) {
  std::string out;
  for (const std::int32_t word : {20240520, 1, count})
    for (int b = 0; b < 4; ++b) out += static_cast<char>(word >> (8 * b) & 0xff);
  out.resize(1024);
  for (int i = 0; i < count; ++i)
    out += static_cast<char>((first + i) & 0xff), out += static_cast<char>((first + i) >> 8);
  write_file(path, out);
}

std::vector<std::int32_t> stream_of(const Corpus& corpus, Split split) {
  std::vector<std::int32_t> ids(corpus.tokens(split));
  corpus.read(split, 0, corpus.tokens(split), ids.data());
  return ids;
}

std::vector<std::int32_t> counting(int first, int count) {
  std::vector<std::int32_t> ids(count);
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

Config small_config(int batch, int context) {
  Config c;
  c.model.context = context;
  c.train.batch = batch, c.train.grains = batch;
  c.train.evaluate_tokens = 1 << 20;
  return c;
}

Layout alone(const Config& c) { return {.ranks = 1, .rank = 0, .expert_parallel = 1, .grains = c.train.grains}; }

/// At every size where the network gets one bit more, and the largest that is allowed.
TEST(Permute, LargePlacesStayInsideAndApart) {
  for (int bits = 20; bits <= 60; bits += 5)
    for (const int off : {-1, 0, 1}) {
      const std::int64_t n = (std::int64_t{1} << bits) + off;
      if (n >= std::int64_t{1} << 60) continue;
      std::set<std::int64_t> places;
      std::int64_t upper = 0;
      for (std::int64_t k = 0; k < 400; ++k) {
        const std::int64_t i = k % 2 ? n - 1 - k / 2 : k / 2;
        const std::int64_t place = permute(11, 2, i, n);
        ASSERT_TRUE(place >= 0 && place < n) << n;
        places.insert(place);
        upper += place >= n / 2;
      }
      EXPECT_EQ(places.size(), 400u) << n;
      EXPECT_NEAR(static_cast<double>(upper), 200.0, 50.0) << n;  // five standard deviations
    }
}

/// Pearson's statistic of the orders of n places over seeds and epochs: its mean is n! − 1, its deviation √(2(n! − 1)).
TEST(Permute, AllOrdersOfFewPlacesAreEquallyLikely) {
  for (const int n : {2, 3, 4}) {
    std::map<std::vector<std::int64_t>, int> count;
    constexpr int draws = 24000;
    for (int k = 0; k < draws; ++k) {
      std::vector<std::int64_t> order;
      for (int i = 0; i < n; ++i) order.push_back(permute(k / 100, k % 100, i, n));
      ++count[order];
    }
    const int orders = n == 2 ? 2 : n == 3 ? 6 : 24;
    ASSERT_EQ(std::ssize(count), orders);
    const double wanted = static_cast<double>(draws) / orders;
    double statistic = 0.0;
    for (const auto& [order, times] : count) statistic += (times - wanted) * (times - wanted) / wanted;
    EXPECT_LT(statistic, orders - 1 + 6.0 * std::sqrt(2.0 * (orders - 1))) << n;
  }
}

TEST(Permute, PlacesOutsideAreADefect) {
  for (const auto& [i, n] : {std::pair<std::int64_t, std::int64_t>{-1, 5}, {5, 5}, {0, 0}, {0, std::int64_t{1} << 60}})
    EXPECT_EQ(error_of([&, i = i, n = n] { permute(1, 0, i, n); }).rfind("1: ", 0), 0u) << i << " of " << n;
}

/// A batch of B sequences of T tokens takes B·T tokens and one more, the last target; one token less is too few.
TEST(Batches, TheSmallestCorpusIsOneBatchAndOneToken) {
  for (const auto& [batch, context] : {std::pair(1, 1), {1, 7}, {3, 1}, {4, 5}}) {
    const int enough = batch * context + 1;
    const Config c = small_config(batch, context);
    for (const auto& [train, held] : {std::pair(enough, enough), {enough - 1, enough}, {enough, enough - 1}}) {
      if (train < 2 || held < 2) continue;
      const TestFolder folder;
      write_llmc(folder / "a_train_0.bin", 100, train);
      write_llmc(folder / "a_val_0.bin", 9000, held);
      const Corpus corpus = Corpus::open(folder.path());
      const std::string error = error_of([&] { Batches(corpus, c, alone(c)); });
      if (train == enough && held == enough) {
        EXPECT_EQ(error, "");
        const Batches batches(corpus, c, alone(c));
        EXPECT_EQ(batches.evaluation_batches(), 1);
        EXPECT_EQ(batches.validation(0).tokens, counting(9000, enough - 1));
        EXPECT_EQ(batches.validation(0).targets, counting(9001, enough - 1));
        auto tokens = batches.train(1).tokens;
        std::sort(tokens.begin(), tokens.end());
        EXPECT_EQ(tokens, counting(100, enough - 1));
      } else {
        const std::string what = std::to_string(enough - 1) + (train < enough ? " training" : " held-out") + " tokens";
        EXPECT_EQ(error.rfind("2: " + folder.path() + ": " + what, 0), 0u) << error;
        EXPECT_NE(error.find(" needs " + std::to_string(enough) + ")"), std::string::npos) << error;
        EXPECT_EQ(error.find("train.evaluate_every to 0") != std::string::npos, train == enough) << error;
      }
    }
  }
}

/// The oracle lists the sequences of all epochs, one after another, and cuts them into batches: with 7 sequences and
/// batches of 4 a batch goes over from one epoch into the next.
TEST(Batches, ABatchGoesOnWithTheNextEpoch) {
  const TestFolder folder;
  write_llmc(folder / "a_train_0.bin", 0, 30);
  write_llmc(folder / "a_train_1.bin", 30, 8);  // 38 tokens: 7 sequences of 5, and 3 tokens that nothing reads
  write_llmc(folder / "a_val_0.bin", 0, 50);
  const Corpus corpus = Corpus::open(folder.path());
  Config c = small_config(4, 5);
  c.data.seed = 12;
  const Batches batches(corpus, c, alone(c));
  std::vector<std::int64_t> drawn;
  for (std::int64_t epoch = 0; epoch < 8; ++epoch)
    for (std::int64_t i = 0; i < 7; ++i) drawn.push_back(permute(12, epoch, i, 7));
  for (std::int64_t step = 1; step <= 14; ++step) {
    const Batch b = batches.train(step);
    for (int s = 0; s < 4; ++s) {
      const std::int64_t sequence = drawn[(step - 1) * 4 + s];
      EXPECT_EQ(b.position[s], sequence * 5) << step;
      for (int t = 0; t < 5; ++t) {
        EXPECT_EQ(b.tokens[s * 5 + t], sequence * 5 + t) << step;
        EXPECT_EQ(b.targets[s * 5 + t], sequence * 5 + t + 1) << step;
      }
    }
  }
  EXPECT_EQ(batches.evaluation_batches(), 2);  // 9 sequences
  EXPECT_EQ(error_of([&] { batches.train(0); }).rfind("1: ", 0), 0u);
  for (const int i : {-1, 2}) EXPECT_EQ(error_of([&] { batches.validation(i); }).rfind("1: ", 0), 0u) << i;
}

/// All documents but those that Philox draws below the share; never none and never all.
TEST(Split, DocumentsAreHeldOutByTheirNumber) {
  const TestFolder folder;
  for (const int documents : {2, 50})
    for (const double share : {0.0, 0.3, 0.9, 1.0})
      for (const std::uint64_t seed : {1, 99}) {
        std::string lines;
        for (int i = 0; i < documents; ++i) lines += "{\"text\": \"text " + std::to_string(i) + "\"}\n";
        write_file(folder / "a.jsonl", lines);
        BuildOptions options;
        options.inputs = {folder / "a.jsonl"}, options.out = folder / "corpus";
        options.validation_share = share, options.seed = seed;
        build_corpus(options);
        std::string train, held;
        for (int i = 0; i < documents; ++i) {
          const std::uint32_t bits =
              philox(stream_key(seed, Purpose::document_split), {{static_cast<std::uint32_t>(i), 0, 0, 0}}).v[0];
          (((bits >> 8) + 0.5) / 16777216.0 < share ? held : train) += "text " + std::to_string(i) + "|";
        }
        const std::string first = "text 0|", last = "text " + std::to_string(documents - 1) + "|";
        if (held.empty()) held = last, train.erase(train.size() - last.size());
        if (train.empty()) train = first, held.erase(0, first.size());
        const Corpus corpus = Corpus::open(options.out);
        for (const auto& [split, wanted] : {std::pair(Split::train, train), {Split::validation, held}}) {
          std::string text;
          for (const std::int32_t id : stream_of(corpus, split)) text += id == 256 ? "|" : corpus.token_text(id);
          EXPECT_EQ(text, wanted) << documents << " " << share << " " << seed;
        }
        std::filesystem::remove_all(options.out);
      }
}

/// A fiftieth of the tokens, rounded down, and at least one.
TEST(LlmC, ASingleShardHoldsOutItsEnd) {
  const TestFolder folder;
  for (const auto& [tokens, held] : {std::pair(2, 1), {3, 1}, {99, 1}, {100, 2}, {149, 2}, {150, 3}, {5000, 100}}) {
    write_llmc(folder / "a.bin", 7, tokens);
    const Corpus corpus = Corpus::open(folder / "a.bin");
    EXPECT_EQ(stream_of(corpus, Split::train), counting(7, tokens - held));
    EXPECT_EQ(stream_of(corpus, Split::validation), counting(7 + tokens - held, held));
  }
}

TEST(LlmC, ShardsOfAFolderAreOrderedByNameAndOthersLeft) {
  const TestFolder folder;
  write_llmc(folder / "a_train_2.bin", 40, 2), write_llmc(folder / "a_train_10.bin", 30, 3);
  write_llmc(folder / "a_train_1.bin", 20, 4), write_llmc(folder / "other.bin", 1, 2);
  write_file(folder / "a_train_0.txt", "no shard");
  const Corpus corpus = Corpus::open(folder.path());
  EXPECT_EQ(stream_of(corpus, Split::train), (std::vector<std::int32_t>{20, 21, 22, 23, 30, 31, 32, 40, 41}));
  EXPECT_EQ(corpus.tokens(Split::validation), 0);
  EXPECT_TRUE(check_corpus(folder.path()).empty());
  const std::string before = corpus.manifest_sha256();
  std::filesystem::rename(folder / "a_train_1.bin", folder / "a_train_3.bin");  // other tokens at the same places
  EXPECT_NE(Corpus::open(folder.path()).manifest_sha256(), before);
  std::filesystem::remove(folder / "a_train_2.bin");
  std::filesystem::create_directories(folder / "a_train_2.bin");
  EXPECT_EQ(error_of([&] { Corpus::open(folder.path()); }).rfind("4: " + (folder / "a_train_2.bin"), 0), 0u);
}

/// Once such a shard was trained on and held out without a word.
TEST(LlmC, AShardOfBothSplitsIsRefused) {
  const TestFolder folder;
  write_llmc(folder / "my_train_set_val_0.bin", 1, 5);
  for (const bool with_train : {false, true}) {
    if (with_train) write_llmc(folder / "a_train_0.bin", 1, 5);
    const std::string error = error_of([&] { Corpus::open(folder.path()); });
    EXPECT_EQ(error.rfind("2: " + (folder / "my_train_set_val_0.bin") + ": its name has _train_ and _val_", 0), 0u)
        << error;
  }
}

TEST(LlmC, BringsNoTextAndSaysSo) {
  const TestFolder folder;
  write_llmc(folder / "a.bin", 7, 60);
  const Corpus corpus = Corpus::open(folder / "a.bin");
  EXPECT_EQ(corpus.token_text(65), "");
  EXPECT_EQ(corpus.bytes(Split::train), 0);
  EXPECT_TRUE(corpus.domains().empty());
  const std::string wanted = "2: " + (folder / "a.bin") + " is an llm.c shard, which brings no tokenizer";
  EXPECT_EQ(error_of([&] { corpus.decode({1}); }), wanted);
  EXPECT_EQ(error_of([&] { corpus.encode("a"); }), wanted);
  std::int32_t id = 0;
  for (const auto& [first, count] : {std::pair(-1, 1), {59, 1}, {58, 2}})
    EXPECT_EQ(error_of([&, f = first, n = count] { corpus.read(Split::train, f, n, &id); }).rfind("1: ", 0), 0u)
        << first;
}

}  // namespace
}  // namespace switchyard::data
