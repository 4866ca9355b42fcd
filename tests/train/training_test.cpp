// ranks: 1 2
// A training run follows the one that the CPU wrote down: the loss of every step, on every backend and number of ranks.
//   SWITCHYARD_WRITE_GOLDEN=1 train.training_test    on one rank of a CPU build writes tests/golden/training_loss.txt
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iomanip>

#include "base/philox.hpp"
#include "train/step.hpp"

namespace switchyard::train {
namespace {

// Loss differences in nat. The CPU's bits depend on no layout, only on the compiler's library of functions; a GPU sums
// in another order, and a choice of experts that tips over moves the curve.
#ifdef KOKKOS_ENABLE_CUDA
constexpr double tolerance = 0.02;
#else
constexpr double tolerance = 1e-5;
#endif

Config small() {
  Config c;
  c.model.vocabulary = 61, c.model.width = 32, c.model.blocks = 2, c.model.heads = 4, c.model.kv_heads = 2;
  c.model.context = 32, c.model.hidden = 64;
  c.moe.experts = 8, c.moe.top_k = 2, c.moe.hidden = 32, c.moe.router = RouterKind::sigmoid;
  c.moe.bias_rule = BiasRule::centred_sign, c.moe.bias_rate = 0.01, c.moe.shared_experts = 1;
  c.train.batch = 16, c.train.grains = 4, c.train.steps = 150, c.train.warmup = 10, c.train.learning_rate = 1e-2;
  return c;
}

/// A chain that a model can learn: the next token is 5·token + 3, or, one time in eight, a random one.
data::Batch chains(const Config& c, const Layout& layout, std::int64_t step) {
  data::Batch batch;
  batch.step = step, batch.context = c.model.context;
  const Range grains = layout.my_grains();
  batch.sequences = {grains.first * c.grain_sequences(), grains.last * c.grain_sequences()};
  for (std::int64_t s = batch.sequences.first; s < batch.sequences.last; ++s) {
    batch.position.push_back(s * c.model.context);
    std::uint32_t token = 0;
    for (int t = 0; t <= c.model.context; ++t) {
      const Philox bits = philox(
          7, {{static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(t), 0}});
      const bool random = t == 0 || bits.v[0] % 8 == 0;
      const std::uint32_t next = (random ? bits.v[1] : 5 * token + 3) % 61;
      if (t < c.model.context) batch.tokens.push_back(static_cast<std::int32_t>(next));
      if (t > 0) batch.targets.push_back(static_cast<std::int32_t>(next));
      token = next;
    }
  }
  return batch;
}

TEST(Training, FollowsTheRunOnTheCpu) {
  const std::string file = SWITCHYARD_TEST_DIR "/golden/training_loss.txt";
  const bool write = std::getenv("SWITCHYARD_WRITE_GOLDEN") != nullptr;
  const Config config = small();
  Machine machine(config, comm::Communicator::duplicate(MPI_COMM_WORLD));
  std::ifstream golden(file);
  std::ofstream out;
  if (write) out.open(file);
  double largest = 0.0, first = 0.0, last = 0.0;
  for (int step = 1; step <= config.train.steps; ++step) {
    last = train_step(machine, chains(config, machine.groups.layout, step), step).loss.cross_entropy;
    if (step == 1) first = last;
    if (write) out << std::setprecision(9) << last << '\n';
    if (double expected = 0.0; !write && golden >> expected) {
      EXPECT_NEAR(last, expected, tolerance) << "step " << step;
      largest = std::max(largest, std::abs(last - expected));
    } else {
      ASSERT_TRUE(write) << file << " has fewer steps";
    }
  }
  EXPECT_NEAR(first, std::log(61.0), 0.2);
  EXPECT_LT(last, 1.6);  // the chain's own entropy is about 0.9
  RecordProperty("largest_difference", std::to_string(largest));
  if (machine.groups.world.rank() == 0)
    std::printf("loss %.4f to %.4f, largest difference from the CPU's %.2e nat\n", first, last, largest);
}

// Rounded rows and weights move a loss less than the next batch does.
TEST(Training, InBf16FollowsThatInFloats) {
  const Config floats = small();
  Config rounded = floats;
  rounded.train.precision = Precision::bf16;
  Machine of_floats(floats, comm::Communicator::duplicate(MPI_COMM_WORLD)),
      of_bf16(rounded, comm::Communicator::duplicate(MPI_COMM_WORLD));
  double largest = 0.0, mean = 0.0;
  for (int step = 1; step <= floats.train.steps; ++step) {
    const data::Batch batch = chains(floats, of_floats.groups.layout, step);
    const double wanted = train_step(of_floats, batch, step).loss.cross_entropy,
                 got = train_step(of_bf16, batch, step).loss.cross_entropy;
    EXPECT_NE(got, wanted) << "step " << step;
    largest = std::max(largest, std::abs(got - wanted)), mean += (got - wanted) / floats.train.steps;
  }
  if (of_floats.groups.world.rank() == 0) std::printf("bf16: largest difference %.2e nat, mean %.2e\n", largest, mean);
  EXPECT_LT(largest, 0.1);
  EXPECT_LT(std::abs(mean), 0.01);
}

}  // namespace
}  // namespace switchyard::train
