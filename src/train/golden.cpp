#include "train/golden.hpp"

#include <algorithm>
#include <sstream>

#include "comm/agree.hpp"
#include "train/golden_bits.hpp"

namespace switchyard::train {
namespace {

constexpr const char* separator = " | ";

/// Two blocks of eight experts of which a token takes two, on batches of eight sequences in four grains.
Config base() {
  Config c;
  c.model.vocabulary = 257, c.model.width = 64, c.model.blocks = 2, c.model.heads = 4, c.model.context = 32;
  c.model.hidden = 96;
  c.moe.experts = 8, c.moe.top_k = 2, c.moe.hidden = 48;
  c.train.batch = 8, c.train.grains = 4, c.train.steps = 3, c.train.warmup = 1, c.train.learning_rate = 1e-2;
  c.train.evaluate_every = 0;
  return c;
}

/// A run that differs from base() by what `change` does.
template <class Change>
GoldenRun run(const char* name, Change change) {
  GoldenRun golden{name, base()};
  change(golden.config.model, golden.config.moe, golden.config.train);
  return golden;
}

void add_routers(std::vector<GoldenRun>& runs) {
  runs.push_back(
      run("softmax", [](auto&, auto& moe, auto&) { moe.normalise = Normalise::after, moe.aux_loss = 0.01; }));
  runs.push_back(run("softmax-before", [](auto&, auto& moe, auto& train) {
    moe.normalise = Normalise::before, moe.aux_loss = 0.01, moe.aux_scope = AuxScope::sequence, moe.z_loss = 1e-3;
    train.schedule = Schedule::linear;
  }));
  runs.push_back(run("switch-capacity", [](auto&, auto& moe, auto&) {
    moe.top_k = 1, moe.normalise = Normalise::before, moe.aux_loss = 0.01, moe.aux_scope = AuxScope::grain;
    moe.capacity_factor = 1.25;
  }));
  runs.push_back(run("noisy-topk", [](auto&, auto& moe, auto&) {
    moe.router = RouterKind::noisy_topk, moe.importance_loss = 0.1, moe.capacity_factor = 1.0;
    moe.drop_order = DropOrder::position;
  }));
  runs.push_back(run("sigmoid-groups", [](auto& model, auto& moe, auto&) {  // as DeepSeek-V3
    moe.router = RouterKind::sigmoid, moe.bias_rule = BiasRule::centred_sign, moe.bias_rate = 0.05, moe.groups = 4;
    moe.groups_kept = 2, moe.scale = 2.5, moe.shared_experts = 1, moe.first_dense = 1;
    model.activation = Activation::swiglu, model.tied = false, model.kv_heads = 2;
  }));
  runs.push_back(run("sigmoid-raw", [](auto&, auto& moe, auto&) {
    moe.router = RouterKind::sigmoid, moe.normalise = Normalise::none, moe.bias_rule = BiasRule::proportional;
    moe.bias_rate = 0.05, moe.groups = 2, moe.groups_kept = 1, moe.group_score = GroupScore::max;
  }));
  runs.push_back(run("softmax-bias", [](auto&, auto& moe, auto& train) {
    moe.bias_rule = BiasRule::sign, moe.bias_rate = 0.01, moe.groups = 4, moe.groups_kept = 2;
    moe.group_score = GroupScore::share_sum, moe.importance_loss = 0.1;
    moe.importance_form = ImportanceForm::squared_deviation, train.schedule = Schedule::wsd;
  }));
  runs.push_back(run("quantile", [](auto&, auto& moe, auto&) {
    moe.router = RouterKind::sigmoid, moe.bias_rule = BiasRule::quantile, moe.bias_memory = 0.25;
    moe.router_prior = 0.5;
  }));
  runs.push_back(run("softmax-quantile", [](auto&, auto& moe, auto& train) {
    moe.top_k = 1, moe.normalise = Normalise::before, moe.bias_rule = BiasRule::quantile, moe.bias_range = 0.5;
    moe.bias_bins = 64, moe.bias_from = 2, moe.aux_loss = 0.01, moe.aux_scope = AuxScope::sequence;
    train.precision = Precision::bf16;
  }));
  runs.push_back(run("bias-spread", [](auto&, auto& moe, auto&) {
    moe.router = RouterKind::sigmoid, moe.bias_rule = BiasRule::centred_sign, moe.bias_rate = 0.2;
    moe.bias_unit = BiasUnit::spread, moe.bias_schedule = BiasSchedule::inverse, moe.bias_until = 4;
  }));
  runs.push_back(run("hash", [](auto& model, auto& moe, auto&) {
    moe.router = RouterKind::hash, model.activation = Activation::relu;
  }));
}

void add_shapes(std::vector<GoldenRun>& runs) {
  runs.push_back(run("dense", [](auto& model, auto& moe, auto&) { moe.experts = 0, model.z_loss = 1e-3; }));
  runs.push_back(run("dense-swiglu", [](auto& model, auto& moe, auto&) {
    moe.experts = 0, model.activation = Activation::swiglu, model.kv_heads = 1;
  }));
  runs.push_back(run("one-expert", [](auto&, auto& moe, auto&) { moe.experts = moe.top_k = 1; }));
  runs.push_back(run("many-experts", [](auto&, auto& moe, auto&) {
    moe.experts = 257, moe.top_k = 4, moe.hidden = 16, moe.router = RouterKind::sigmoid;
  }));
  runs.push_back(run("group-sums", [](auto&, auto& moe, auto&) {
    moe.experts = 11, moe.top_k = 4, moe.combine_groups = 8, moe.capacity_factor = 1.0, moe.shared_experts = 1;
  }));
  runs.push_back(run("hidden-chunks", [](auto& model, auto& moe, auto&) {
    moe.experts = 6, moe.hidden_chunks = 4, moe.capacity_factor = 1.25, model.activation = Activation::swiglu;
  }));
  runs.push_back(run("uneven-blocks", [](auto& model, auto& moe, auto& train) {
    model.blocks = 3, moe.experts_per_block = {5, 0, 3}, train.grains = 8, train.clip = 0.0;
  }));
  runs.push_back(run("odd-sizes", [](auto& model, auto& moe, auto& train) {
    model.vocabulary = 61, model.width = 42, model.heads = 3, model.context = 17, model.hidden = 37;
    moe.experts = 5, moe.top_k = 3, moe.hidden = 13, train.batch = 9, train.grains = 3;
  }));
  runs.push_back(run("wide", [](auto& model, auto& moe, auto& train) {
    model.vocabulary = 1000, model.width = 256, model.blocks = 1, model.context = 128, moe.hidden = 320;
    train.steps = 2;
  }));
}

void add_precisions(std::vector<GoldenRun>& runs) {
  runs.push_back(run("bf16", [](auto&, auto&, auto& train) { train.precision = Precision::bf16; }));
  runs.push_back(run("bf16-swiglu", [](auto& model, auto& moe, auto& train) {
    train.precision = Precision::bf16, model.activation = Activation::swiglu, model.kv_heads = 2, model.tied = false;
    moe.router = RouterKind::sigmoid, moe.bias_rule = BiasRule::sign, moe.bias_rate = 0.05, moe.shared_experts = 1;
    moe.first_dense = 1, moe.capacity_factor = 1.25;
  }));
  runs.push_back(run("bf16-sums", [](auto&, auto& moe, auto& train) {
    train.precision = Precision::bf16, moe.combine_groups = 4, moe.hidden_chunks = 2;
  }));
  runs.push_back(run("bf16-odd", [](auto& model, auto& moe, auto& train) {
    train.precision = Precision::bf16, model.vocabulary = 61, model.width = 42, model.heads = 3, model.context = 17;
    model.hidden = 37, moe.experts = 5, moe.top_k = 3, moe.hidden = 13, train.batch = 9, train.grains = 3;
  }));
}

std::vector<GoldenRun> make_runs() {
  std::vector<GoldenRun> runs;
  add_routers(runs);
  add_shapes(runs);
  add_precisions(runs);
  return runs;
}

}  // namespace

const std::vector<GoldenRun>& golden_runs() {
  static const std::vector<GoldenRun> runs = make_runs();
  return runs;
}

const std::string& published_bits() {
  static const std::string text = golden_bits;
  return text;
}

std::string published_products() {
  const std::string mark = "# products: ";
  const std::size_t at = published_bits().find(mark);
  return at == std::string::npos
             ? ""
             : published_bits().substr(at + mark.size(), published_bits().find('\n', at) - at - mark.size());
}

std::vector<std::string> published_bits_of(const std::string& name) {
  std::vector<std::string> lines;
  std::istringstream text(published_bits());
  for (std::string line; std::getline(text, line);)
    if (line.starts_with(name + separator)) lines.push_back(line.substr(name.size() + std::string(separator).size()));
  return lines;
}

void require_published(const comm::Communicator& world, const std::string& run, const std::vector<std::string>& found) {
  comm::agree(world, [&] {
    const std::string difference = first_difference(found, published_bits_of(run));
    check(difference.empty(), Exit::layout_variant,
          "not the published bits: rank " + std::to_string(world.rank()) + ", run " + run + ", " + difference +
              " (its processor, compiler or a library computes other sums); what is trained there cannot be compared "
              "bit by bit with other machines. Please report it with switchyard --version");
  });
}

std::string first_difference(const std::vector<std::string>& found, const std::vector<std::string>& published) {
  const auto [a, b] = std::mismatch(found.begin(), found.end(), published.begin(), published.end());
  if (a == found.end() && b == published.end()) return "";
  return (a == found.end() ? "nothing" : *a) + ", published is " + (b == published.end() ? "nothing" : *b);
}

}  // namespace switchyard::train
