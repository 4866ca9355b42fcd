// ranks: 1 2 5
// A training step allocates nothing, mirrors nothing and names every kernel: what Kokkos does is counted by its own
// tools.
#include <gtest/gtest.h>

#include <Kokkos_Core.hpp>
#include <string>
#include <vector>

#include "config/moe_layers.hpp"
#include "config/routers.hpp"
#include "support/kinds.hpp"
#include "support/queue.hpp"
#include "train/step.hpp"
#include "train/synthetic.hpp"

namespace switchyard::train {
namespace {

std::vector<std::string> allocated, kernels, copies;  // labels, while they are noted; of copies that of the target

/// Of ours: on a device a reduction may have memory of Kokkos' own.
void note_allocation(const Kokkos_Profiling_SpaceHandle, const char* label, const void*, const std::uint64_t) {
  if (!std::string(label).starts_with("Kokkos::")) allocated.emplace_back(label);
}

void note_kernel(const char* label, const std::uint32_t, std::uint64_t*) { kernels.emplace_back(label); }

void note_copy(const Kokkos_Profiling_SpaceHandle, const char* to, const void* to_data,
               const Kokkos_Profiling_SpaceHandle, const char* from, const void* from_data, const std::uint64_t) {
  const bool fill = std::string(from) == "(none)";
  if (!fill && to_data != from_data) copies.emplace_back(to);
}

/// Notes what happens as long as it lives.
class Notes {
 public:
  Notes() {
    using namespace Kokkos::Tools::Experimental;
    allocated.clear(), kernels.clear(), copies.clear();
    set_allocate_data_callback(note_allocation);
    set_begin_parallel_for_callback(note_kernel);
    set_begin_parallel_reduce_callback(note_kernel);
    set_begin_parallel_scan_callback(note_kernel);
    set_begin_deep_copy_callback(note_copy);
  }
  ~Notes() {
    using namespace Kokkos::Tools::Experimental;
    set_allocate_data_callback(nullptr);
    set_begin_parallel_for_callback(nullptr);
    set_begin_parallel_reduce_callback(nullptr);
    set_begin_parallel_scan_callback(nullptr);
    set_begin_deep_copy_callback(nullptr);
  }
};

/// The labels that are neither Kokkos' own, for fills and copies, nor words and colons as ours are: without a name a
/// kernel has that of its type.
std::vector<std::string> unlabelled(const std::vector<std::string>& labels) {
  constexpr const char* ours = "abcdefghijklmnopqrstuvwxyz_:";
  std::vector<std::string> found;
  for (const std::string& label : labels)
    if (!label.starts_with("Kokkos::") &&
        (!label.starts_with("switchyard::") || label.find_first_not_of(ours) != std::string::npos))
      found.push_back(label);
  return found;
}

Config base() {
  Config c;
  c.model = {.vocabulary = 64, .width = 24, .blocks = 3, .heads = 3, .context = 8, .hidden = 32};
  c.moe.experts_per_block = {0, 5, 8}, c.moe.hidden = 16, c.moe.top_k = 2, c.moe.aux_loss = 0.01;
  c.train.batch = 8, c.train.grains = 4;
  c.train.learning_rate = c.train.min_learning_rate = 0.0;  // loads stay, so that no buffer has to grow
  return c;
}

std::vector<Config> configs() {
  std::vector<Config> all(5, base());
  for (const int groups : {1, 8}) {  // rows by nodes, home as they are and as sums
    all.push_back(base());
    all.back().layout.exchange = ExchangeKind::node, all.back().layout.ranks_per_node = 1;
    all.back().moe.combine_groups = groups, all.back().layout.lanes = 2;
  }
  all[1].moe.router = RouterKind::noisy_topk, all[1].moe.capacity_factor = 1.0,
  all[1].moe.aux_scope = AuxScope::sequence;
  all[2].moe.router = RouterKind::sigmoid, all[2].moe.bias_rule = BiasRule::sign, all[2].moe.bias_rate = 0.0;
  all[2].model.activation = Activation::swiglu, all[2].moe.shared_experts = 1, all[2].model.tied = false;
  all[3].moe.router = RouterKind::hash, all[3].moe.aux_loss = 0.0, all[3].layout.expert_parallel = 1;
  all[4].moe.experts_per_block = {1, 3, 0}, all[4].moe.top_k = 1;  // fewer experts than ranks
  for (const int expert_parallel : {0, 1}) {
    all.push_back(base());
    all.back().layout.zero = 1, all.back().layout.expert_parallel = expert_parallel;
  }
  for (const RouterKind router : test::all_of<RouterKind>()) {
    all.push_back(base());
    all.back().moe.router = router, all.back().moe.aux_loss = 0.0;
    all.back().moe.normalise = traits_of(router).normalise.front();
  }
  for (const Recompute recompute : {Recompute::experts, Recompute::blocks})
    for (const int lanes : {1, 2}) {
      all.push_back(all[2]);  // gated, with shared experts
      all.back().layout.recompute = recompute, all.back().layout.lanes = lanes;
      all.back().layout.schedule = ScheduleKind::interleaved;
    }
  return all;
}

void evaluate_batch(Machine& machine, const data::Batch& batch) {
  machine.model->forward(test::queue(), batch, moe::Pass::evaluate);
  machine.model->reduce(test::queue());
}

/// Of two steps. On a host nothing is mirrored, and tokens and targets are written where a pass reads them: only
/// selection biases are copied when they have moved.
std::vector<std::string> expected_copies(const Config& config) {
  if (config.moe.bias_rule == BiasRule::none) return {};
  return std::vector<std::string>(2 * moe_layers(config).size(), "moe::router::bias");
}

TEST(Step, AllocatesNothingOnceItIsWarm) {
  for (const Config& config : configs()) {
    Machine machine(config, comm::Communicator::duplicate(MPI_COMM_WORLD));
    const data::Batch batch = synthetic_batch(config, machine.groups.layout, 1);
    train_step(machine, batch, 1);
    evaluate_batch(machine, batch);
    const Notes notes;
    train_step(machine, batch, 1);
    evaluate_batch(machine, batch);  // drops nothing, so that it may have more rows than a step
    train_step(machine, batch, 1);
    EXPECT_EQ(allocated, std::vector<std::string>());
    EXPECT_FALSE(kernels.empty());
    if (on_host) {
      EXPECT_EQ(copies, expected_copies(config));
    }
    EXPECT_EQ(unlabelled(kernels), std::vector<std::string>());
  }
}

TEST(Step, NamesWhatItAllocatesAtFirst) {
  if (!on_host) GTEST_SKIP() << "copies for the host have no name";
  const Config config = base();
  Machine machine(config, comm::Communicator::duplicate(MPI_COMM_WORLD));
  const Notes notes;
  train_step(machine, synthetic_batch(config, machine.groups.layout, 1), 1);
  EXPECT_FALSE(allocated.empty());
  for (const std::string& label : allocated) EXPECT_NE(label.find("::"), std::string::npos) << label;
}

/// That the notes see what they are there for.
TEST(Notes, SeeAnAllocationAndAKernelWithoutAName) {
  const Notes notes;
  const Vector<float> v("seen", 3);
  Kokkos::parallel_for(Kokkos::RangePolicy<Host>(0, 1), [](int) {});
  EXPECT_EQ(allocated, std::vector<std::string>{"seen"});
  EXPECT_EQ(unlabelled(kernels).size(), 1u);
}

}  // namespace
}  // namespace switchyard::train
