#include "data/batch.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/philox.hpp"

namespace switchyard::data {
namespace {

/// Sequences of T tokens and one more as the last target that a stream holds.
std::int64_t sequences_of(std::int64_t tokens, int context) { return tokens > 0 ? (tokens - 1) / context : 0; }

[[noreturn]] void throw_too_few(const Corpus& corpus, const Config& config, Split split) {
  const bool train = split == Split::train;
  throw Error(Exit::usage, corpus.path() + ": " + std::to_string(corpus.tokens(split)) +
                               (train ? " training tokens" : " held-out tokens") + ", and the stream ends at offset " +
                               std::to_string(corpus.tokens(split)) + " (one batch of train.batch " +
                               std::to_string(config.train.batch) + " sequences of model.context " +
                               std::to_string(config.model.context) + " needs " +
                               std::to_string(config.step_tokens() + 1) +
                               "); use more text, a smaller batch or a shorter context" +
                               (train ? "" : ", hold out a larger share, or set train.evaluate_every to 0"));
}

}  // namespace

Batches::Batches(const Corpus& corpus, const Config& config, const Layout& layout)
    : corpus_(corpus), config_(config), layout_(layout) {
  const int context = config.model.context;
  train_sequences_ = sequences_of(corpus.tokens(Split::train), context);
  if (train_sequences_ < config.train.batch) throw_too_few(corpus, config, Split::train);
  const std::int64_t held_out = sequences_of(corpus.tokens(Split::validation), context) / config.train.batch;
  if (held_out == 0 && config.train.evaluate_every > 0) throw_too_few(corpus, config, Split::validation);
  const std::int64_t wanted = std::max<std::int64_t>(1, config.train.evaluate_tokens / config.step_tokens());
  evaluation_batches_ = std::min(wanted, held_out);
}

std::string Batches::evaluation_note() const {
  const std::int64_t batch = config_.step_tokens(), read = evaluation_batches_ * batch;
  if (config_.train.evaluate_every <= 0 || read == config_.train.evaluate_tokens) return "";
  return "train.evaluate_tokens: an evaluation reads " + std::to_string(read) + " tokens, not " +
         std::to_string(config_.train.evaluate_tokens) + " (whole batches of " + std::to_string(batch) + " of the " +
         std::to_string(corpus_.tokens(Split::validation)) + " held-out tokens)";
}

Batch Batches::fill(Split split, std::int64_t step, const std::vector<std::int64_t>& sequence) const {
  const std::int64_t context = config_.model.context;
  const Range grains = layout_.my_grains();
  Batch batch;
  batch.step = step;
  batch.context = config_.model.context;
  batch.sequences = {grains.first * config_.grain_sequences(), grains.last * config_.grain_sequences()};
  std::vector<std::int32_t> ids(context + 1);
  for (const std::int64_t s : sequence) {
    corpus_.read(split, s * context, context + 1, ids.data());
    batch.position.push_back(s * context);
    batch.tokens.insert(batch.tokens.end(), ids.begin(), ids.end() - 1);
    batch.targets.insert(batch.targets.end(), ids.begin() + 1, ids.end());
  }
  return batch;
}

Batch Batches::train(std::int64_t step) const {
  expect(step >= 1, "a step, which counts from 1");
  const Range grains = layout_.my_grains();
  std::vector<std::int64_t> sequence;
  for (std::int64_t j = grains.first * config_.grain_sequences(); j < grains.last * config_.grain_sequences(); ++j) {
    const std::int64_t drawn = (step - 1) * config_.train.batch + j;  // sequences drawn before, all epochs together
    const std::int64_t epoch = drawn / train_sequences_;
    sequence.push_back(permute(config_.data.seed, epoch, drawn % train_sequences_, train_sequences_));
  }
  return fill(Split::train, step, sequence);
}

Batch Batches::validation(std::int64_t i) const {
  expect(i >= 0 && i < evaluation_batches_, "a held-out batch that exists");
  const Range grains = layout_.my_grains();
  std::vector<std::int64_t> sequence;
  for (std::int64_t j = grains.first * config_.grain_sequences(); j < grains.last * config_.grain_sequences(); ++j)
    sequence.push_back(i * config_.train.batch + j);
  return fill(Split::validation, i, sequence);
}

namespace {

/// The network works on `left` high and `right` low bits; a round adds bits drawn from one half to the other.
struct Feistel {
  std::uint64_t key;
  std::uint64_t epoch;
  int left, right;  ///< bits, at most 31 each

  std::uint64_t operator()(std::uint64_t x) const {
    std::uint32_t low = static_cast<std::uint32_t>(x & mask(right)), high = static_cast<std::uint32_t>(x >> right);
    for (std::uint32_t round = 0; round < 8; ++round) {
      if (round % 2 == 0)
        high ^= draw(low, round) & mask(left);
      else
        low ^= draw(high, round) & mask(right);
    }
    return std::uint64_t{high} << right | low;
  }
  static std::uint32_t mask(int bits) { return (1u << bits) - 1; }
  std::uint32_t draw(std::uint32_t half, std::uint32_t round) const {
    return philox(key, {{half, round, static_cast<std::uint32_t>(epoch), static_cast<std::uint32_t>(epoch >> 32)}})
        .v[0];
  }
};

}  // namespace

std::int64_t permute(std::uint64_t seed, std::int64_t epoch, std::int64_t i, std::int64_t n) {
  expect(i >= 0 && i < n && n < std::int64_t{1} << 60, "0 <= i < n");
  int bits = 0;
  while (std::int64_t{1} << bits < n) ++bits;
  const Feistel network{stream_key(seed, Purpose::sequence_order), static_cast<std::uint64_t>(epoch), bits / 2,
                        bits - bits / 2};
  auto x = static_cast<std::uint64_t>(i);
  do x = network(x);
  while (x >= static_cast<std::uint64_t>(n));  // less than 2^bits < 2n, so at most half of the places are walked past
  return static_cast<std::int64_t>(x);
}

}  // namespace switchyard::data
