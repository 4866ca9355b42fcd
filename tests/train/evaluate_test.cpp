// ranks: 1 2 3
// An evaluation against what a rank alone finds for every held-out token: means, parts, bits per byte, and the routing
// of the first tokens in their order. It leaves no trace in the training.
#include "train/evaluate.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/support.hpp"
#include "train/files.hpp"
#include "train/step.hpp"

namespace switchyard::train {
namespace {

/// Documents in two domains, half of them held out. Each is 3953 tokens with its end: 17 of them end at the last target
/// of 67,200 tokens.
std::string make_text(const test::Folder& folder) {
  for (int i = 0; i < 48; ++i) {
    std::string text;
    while (text.size() < 3952)
      text += "document " + std::to_string(i) + ", " + std::to_string(text.size() * 7919 % 1000) + ": pi is 3.14\n";
    text.resize(3952);
    data::write_file(folder / ((i % 3 ? "text/prose/" : "text/code/") + std::to_string(i) + ".txt"), text);
  }
  data::BuildOptions options;
  options.inputs = {folder / "text"}, options.out = folder / "corpus", options.validation_share = 0.5;
  data::build_corpus(options);
  return options.out;
}

/// 5000 tokens of which neither texts nor documents are known, the last 100 of them held out: llm.c's format.
std::string make_shard(const test::Folder& folder) {
  std::vector<std::int32_t> header(256);
  header[0] = 20240520, header[1] = 1, header[2] = 5000;
  std::vector<std::uint16_t> tokens;
  for (int i = 0; i < 5000; ++i) tokens.push_back(static_cast<std::uint16_t>(i * 7919 % 50257));
  const auto bytes = [](const auto& all) {
    return std::string(reinterpret_cast<const char*>(all.data()), all.size() * sizeof all[0]);
  };
  data::write_file(folder / "shard.bin", bytes(header) + bytes(tokens));
  return folder / "shard.bin";
}

/// Blocks of 5 and 3 experts with all that is different in training: a capacity, and a bias that moves.
Config config_of(int batch, std::int64_t evaluate_tokens) {
  Config c;
  c.model = {.vocabulary = 260, .width = 8, .blocks = 3, .heads = 2, .context = 16, .hidden = 16};
  c.model.init_std = 0.2;
  c.moe.experts_per_block = {5, 0, 3}, c.moe.top_k = 2, c.moe.hidden = 8, c.moe.capacity_factor = 0.5;
  c.moe.router = RouterKind::sigmoid, c.moe.bias_rule = BiasRule::sign, c.moe.bias_rate = 0.01;
  c.train.batch = batch, c.train.grains = batch % 6 ? 3 : 6, c.train.evaluate_tokens = evaluate_tokens;
  c.train.warmup = 1, c.train.learning_rate = 1e-2;
  return c;
}

Machine machine_of(const Config& config, MPI_Comm ranks) { return {config, comm::Communicator::duplicate(ranks)}; }

template <class T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

/// Every held-out token, by a rank alone.
struct Held {
  Held(const Config& config, const data::Corpus& corpus) {
    Machine alone = machine_of(config, MPI_COMM_SELF);
    const data::Batches batches(corpus, config, alone.groups.layout);
    for (std::int64_t i = 0; i < batches.evaluation_batches(); ++i) {
      const data::Batch batch = batches.validation(i);
      alone.model->forward(alone.queue(), batch, moe::Pass::evaluate);
      append(losses, alone.model->token_losses()), append(routing.predicted, alone.model->predictions());
      append(next, batch.targets);
      const auto samples = alone.model->samples();
      routing.layers.resize(samples.size());
      for (std::size_t l = 0; l < samples.size(); ++l) {
        append(routing.layers[l].experts, samples[l].experts), append(routing.layers[l].weights, samples[l].weights);
        append(routing.layers[l].kept, samples[l].kept);
      }
      alone.model->reduce(alone.queue());
    }
  }
  double mean(std::size_t first, std::size_t last) const {
    return std::accumulate(losses.begin() + first, losses.begin() + last, 0.0) / static_cast<double>(last - first);
  }
  std::vector<float> losses;
  std::vector<std::int32_t> next;
  record::EvaluationRouting routing;
};

template <class T>
std::vector<T> first(const std::vector<T>& all, std::size_t n) {
  return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n)};
}

void expect_routing(const record::EvaluationRouting& got, const Held& held, std::size_t tokens) {
  EXPECT_EQ(got.loss, first(held.losses, tokens));
  EXPECT_EQ(got.predicted, first(held.routing.predicted, tokens));
  ASSERT_EQ(got.layers.size(), 2u);
  for (std::size_t l = 0; l < 2; ++l) {
    EXPECT_EQ(got.layers[l].experts, first(held.routing.layers[l].experts, 2 * tokens));
    EXPECT_EQ(got.layers[l].weights, first(held.routing.layers[l].weights, 2 * tokens));
    EXPECT_EQ(got.layers[l].kept, std::vector<std::uint8_t>(2 * tokens, 1)) << "nothing is dropped";
  }
}

// 67,200 tokens in 7 batches: the last token whose routing is kept, number 65,536, stands inside of a grain.
TEST(Evaluation, IsWhatItsTokensSay) {
  const test::Files files(make_text);
  const data::Corpus corpus = data::Corpus::open(files.corpus());
  const Config config = config_of(600, 68000);
  Machine machine = machine_of(config, MPI_COMM_WORLD);
  const data::Batches batches(corpus, config, machine.groups.layout);
  const Evaluation got = evaluate(machine, corpus, batches, 3);
  EXPECT_EQ(got.row.step, 3);
  if (machine.groups.world.rank() > 0) {
    EXPECT_TRUE(got.routing.loss.empty() && got.routing.predicted.empty()) << "on rank 0 only";
    return;
  }
  const Held held(config, corpus);
  ASSERT_EQ(held.losses.size(), 67200u);
  EXPECT_EQ(held.next.back(), corpus.end_token()) << "a target without bytes, where an error of one would be seen";
  const double mean = held.mean(0, 67200);
  EXPECT_NEAR(got.row.loss, mean, 1e-12 * mean);
  ASSERT_EQ(got.row.block_loss.size(), 64u);
  for (std::size_t b = 0; b < 64; ++b) EXPECT_DOUBLE_EQ(got.row.block_loss[b], held.mean(1050 * b, 1050 * b + 1050));
  const auto bytes = std::count_if(held.next.begin(), held.next.end(), [](int id) { return id < 256; });
  EXPECT_NEAR(got.row.bits_per_byte, mean * 67200 / static_cast<double>(bytes) / std::log(2.0), 1e-9);
  EXPECT_EQ(got.routing.step, 3);
  expect_routing(got.routing, held, record::EvaluationTokens::most);
}

// Fewer tokens than parts: those without tokens are not a number, and so are bits per byte without texts.
TEST(Evaluation, OfAFewForeignTokens) {
  const test::Files files(make_shard);
  const data::Corpus corpus = data::Corpus::open(files.corpus());
  Config config = config_of(3, 48);
  config.model.vocabulary = 50257;
  Machine machine = machine_of(config, MPI_COMM_WORLD);
  const data::Batches batches(corpus, config, machine.groups.layout);
  const Evaluation got = evaluate(machine, corpus, batches, 0);
  EXPECT_TRUE(std::isnan(got.row.bits_per_byte));
  if (machine.groups.world.rank() == 0) {
    const Held held(config, corpus);
    expect_routing(got.routing, held, 48);
    std::size_t at = 0;
    for (const double loss : got.row.block_loss)
      if (!std::isnan(loss)) {
        EXPECT_EQ(loss, held.losses.at(at++));
      }
    EXPECT_EQ(at, 48u);
  }
  const record::EvaluationTokens tokens = evaluation_tokens(corpus, batches, config);
  EXPECT_EQ(tokens.document, std::vector<std::int64_t>(48, -1));
  EXPECT_EQ(tokens.domain, std::vector<std::int32_t>(48, -1));
  for (int i = 0; i < 48; ++i) EXPECT_EQ(tokens.next[i], (4901 + i) * 7919 % 50257) << i;
}

TEST(Evaluation, LeavesNoTraceInTheTraining) {
  const test::Files files(make_text);
  const data::Corpus corpus = data::Corpus::open(files.corpus());
  const Config config = config_of(12, 400);
  Machine plain = machine_of(config, MPI_COMM_WORLD), watched = machine_of(config, MPI_COMM_WORLD);
  const data::Batches batches(corpus, config, plain.groups.layout);
  for (std::int64_t step = 1; step <= 3; ++step) {
    const StepResult expected = train_step(plain, batches.train(step), step);
    const double before = evaluate(watched, corpus, batches, step - 1).row.loss;
    EXPECT_EQ(evaluate(watched, corpus, batches, step - 1).row.loss, before);
    const StepResult got = train_step(watched, batches.train(step), step);
    EXPECT_EQ(got.loss.total(), expected.loss.total()) << "step " << step;
    EXPECT_EQ(got.gradient_norm, expected.gradient_norm) << "step " << step;
    for (std::size_t l = 0; l < 2; ++l)
      EXPECT_EQ(watched.model->moe_layers()[l]->bias(), plain.model->moe_layers()[l]->bias()) << "step " << step;
  }
}

TEST(EvaluationTokens, HaveTheirPlaceDocumentAndText) {
  const test::Files files(make_text);
  const data::Corpus corpus = data::Corpus::open(files.corpus());
  const Config config = config_of(600, 68000);
  const data::Batches batches(corpus, config, {1, 0, 1, config.train.grains});
  const record::EvaluationTokens tokens = evaluation_tokens(corpus, batches, config);
  std::vector<std::int32_t> stream(65537);
  corpus.read(data::Split::validation, 0, 65537, stream.data());
  EXPECT_EQ(tokens.token, first(stream, 65536));
  EXPECT_EQ(tokens.next, std::vector<std::int32_t>(stream.begin() + 1, stream.end()));
  std::int64_t document = 0;  // an end token closes each of them
  for (std::size_t i = 0; i < 65536; ++i) {
    ASSERT_EQ(tokens.position[i], static_cast<int>(i % 16));
    ASSERT_EQ(tokens.document[i], document) << i;
    document += stream[i] == corpus.end_token();
  }
  for (std::size_t i = 0; i + 60 < 65536; ++i) {  // each names its number, by which its domain was chosen
    if (i > 0 && stream[i - 1] != corpus.end_token()) continue;
    const std::string begin = corpus.decode({stream.begin() + i, stream.begin() + i + 12});
    EXPECT_EQ(tokens.domain_names.at(tokens.domain[i]), std::stoi(begin.substr(9)) % 3 ? "prose" : "code") << begin;
  }
  ASSERT_EQ(tokens.token_text.size(), 260u);
  EXPECT_EQ(tokens.token_text['A'], "A");
  EXPECT_EQ(tokens.token_text[256] + tokens.token_text[259], "");
}

}  // namespace
}  // namespace switchyard::train
