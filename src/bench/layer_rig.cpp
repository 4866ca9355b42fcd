#include "bench/layer_rig.hpp"

#include <utility>

#include "base/philox.hpp"
#include "schedule/generators.hpp"

namespace switchyard::bench {
namespace {

constexpr float noise = 0.35f;     ///< of inputs, either way: below half of what says that an expert is chosen
constexpr float sharpness = 4.0f;  ///< of the router: scores of chosen experts and of others lie apart
constexpr const char* layer_name = "blocks.0.moe.";

std::vector<TensorSpec> tensors_of(const Config& config) {
  std::vector<TensorSpec> tensors = block_architecture(config, 0);
  std::erase_if(tensors, [](const TensorSpec& t) { return !t.name.starts_with(layer_name); });
  return tensors;
}

LoadShape shape_of(const Config& config) { return {config.step_tokens(), config.moe.experts, config.moe.top_k}; }

/// to(rows, width) = uniform in ±noise; another stream of numbers for another key.
template <class T>
void fill_noise(const Queue& queue, std::uint64_t key, const Lines<T>& to, Index rows, Index width) {
  Kokkos::parallel_for(
      "switchyard::bench::noise", queue.range(rows * width), KOKKOS_LAMBDA(Index i) {
        const auto low = static_cast<std::uint32_t>(i), high = static_cast<std::uint32_t>(i >> 32);
        const float u = uniform(philox(key, {{low, high, 0, 0}}).v[0]);
        store(noise * (2.0f * u - 1.0f), to(i / width, i % width));
      });
}

/// x(N, d): one more at the numbers of a token's experts.
template <class T>
void mark_choices(const Queue& queue, const Vector<std::int32_t>& choices, const Lines<T>& x, Index top_k) {
  Kokkos::parallel_for(
      "switchyard::bench::mark", queue.range(choices.extent(0)), KOKKOS_LAMBDA(Index c) {
        T& value = x(c / top_k, choices(c));
        store(load(value) + 1.0f, value);
      });
}

/// weight(E, d): expert e reads number e.
void fill_router(const Queue& queue, float* weight, Index experts, Index width) {
  Kokkos::parallel_for(
      "switchyard::bench::router", queue.range(experts * width),
      KOKKOS_LAMBDA(Index i) { weight[i] = i / width == i % width ? sharpness : 0.0f; });
}

void take_noise(const Queue& queue, std::uint64_t key, const Tensor& to) {
  by_element(to.element, [&](auto zero) { fill_noise(queue, key, to.lines<decltype(zero)>(), to.rows, to.width); });
}

}  // namespace

LayerRig::LayerRig(const LayerOptions& options, const Config& config, comm::Communicator world)
    : config_(config),
      loads_(expert_loads(options.load, shape_of(config))),
      groups_(std::move(world), config_.layout, config_.train.grains, config_.train.determinism),
      exchanges_(config_.layout, groups_),
      rows_(nn::make_rows(config_, groups_.layout)),
      parameters_(groups_.layout, tensors_of(config_), rows_.branch),
      layer_({config_, groups_, exchanges_, parameters_, timers_}, 0),
      scratch_("bench::scratch", config_, groups_.layout, rows_.branch),
      shared_("bench::shared", config_, groups_.layout, rows_.branch),
      experts_("bench::experts", config_, groups_.layout, 0, rows_.branch, *shared_),
      pass_("bench::pass", rows_, config_, groups_.layout, *experts_, *scratch_),
      gate_(parameters_.find(std::string(layer_name) + "experts.gate.weight")),
      up_(parameters_.id(std::string(layer_name) + "experts.up.weight")),
      down_(parameters_.id(std::string(layer_name) + "experts.down.weight")) {
  parameters_.allocate(queue_, config_.train.seed);
  fill_router(queue_, parameters_.value(parameters_.id(std::string(layer_name) + "router.weight")), config_.moe.experts,
              config_.model.width);
  parameters_.round_weights(queue_);
  const std::vector<std::int32_t> choices = forced_choices(loads_, shape_of(config_));
  digest_ = digest_of(choices);
  take_inputs(choices);
}

void LayerRig::take_inputs(const std::vector<std::int32_t>& choices) {
  const auto take = [this] {
    for (Tensor& x : x_) x = arena_.tensor(rows_.branch, rows_.count, config_.model.width);
    y_ = arena_.tensor(Element::f32, rows_.count, config_.model.width);
    dy_ = arena_.tensor(Element::f32, rows_.count, config_.model.width);
    rounded_ = arena_.tensor(rows_.branch, rows_.count, config_.model.width);
    dx_ = arena_.tensor(Element::f32, rows_.count, config_.model.width);
  };
  take();
  arena_.place("bench::inputs");
  take();
  const auto chosen = make_view<Vector<std::int32_t>>("bench::choices", choices.size());
  copy(queue_, chosen, HostVector<const std::int32_t>(choices.data(), choices.size()));
  for (std::size_t i = 0; i < x_.size(); ++i) {
    take_noise(queue_, i, x_[i]);
    by_element(rows_.branch,
               [&](auto zero) { mark_choices(queue_, chosen, x_[i].lines<decltype(zero)>(), config_.moe.top_k); });
  }
  take_noise(queue_, x_.size(), dy_);
  take_noise(queue_, x_.size() + 1, y_);
  const auto ids = make_view<Vector<std::int32_t>>("bench::ids", rows_.count);
  fill(queue_, ids, 0);
  tokens_ = {moe::Pass::train, 1, config_.model.context, {0, rows_.sequences}, config_.grain_sequences(), ids};
  queue_.fence("switchyard::bench::inputs");
}

void LayerRig::pass(const SeeStage& see) {
  const auto each = [&](schedule::Direction direction, const auto& run) {
    for (const schedule::Stage stage : schedule::mixture_stages(direction))
      if (schedule::in_mixture(config_, stage)) {
        run(stage);
        if (see) see(queue_, stage, direction);
      }
  };
  layer_.begin(tokens_, x_[number_++ % x_.size()], *pass_);
  each(schedule::Direction::forward, [this](schedule::Stage stage) { layer_.forward(queue_, stage, y_, *pass_); });
  if (number_ == 1) take_statistics(), pass_->plan.settle(), require_loads();
  pass_->routing.reduced = true;
  each(schedule::Direction::backward, [this](schedule::Stage stage) {
    layer_.backward(queue_, stage, {dy_, rounded_}, dx_, *pass_);
  });
}

void LayerRig::require_loads() const {
  const std::vector<Index>& offsets = pass_->plan.others().offsets;
  for (std::size_t e = 0; e < loads_.size(); ++e)
    check(offsets.at(e + 1) - offsets[e] == loads_[e], Exit::internal,
          "expert " + std::to_string(e) + " has " + std::to_string(offsets[e + 1] - offsets[e]) + " rows instead of " +
              std::to_string(loads_[e]) + ": the router did not choose what inputs were made for");
}

/// Those of the first pass stand for all, whose loads are the same: a step sums them once for all layers, so they are
/// no part of what a layer takes.
void LayerRig::take_statistics() {
  comm::JointSum sum(groups_);
  layer_.offer_statistics(queue_, {&*pass_}, sum);
  sum.reduce();
  layer_.take_statistics(sum, {&*pass_});
}

void LayerRig::run_products() {
  const moe::ExpertRows::Part part = pass_->part();
  forward_products(part);
  input_gradients(part);
  weight_gradients(part);
}

void LayerRig::forward_products(const moe::ExpertRows::Part& part) const {
  const products::Segments of = pass_->plan.others().segments();
  if (gate_ >= 0) products::forward(queue_, of, part.rows, weights(gate_), part.network.gate);
  products::forward(queue_, of, part.rows, weights(up_), part.network.up);
  products::forward(queue_, of, part.network.hidden, weights(down_), part.outputs);
}

void LayerRig::input_gradients(const moe::ExpertRows::Part& part) {
  const products::Segments of = pass_->plan.others().segments();
  const Tensor d_hidden = scratch_->d_hidden.rows(0, part.rows.rows), d_rows = pass_->d_rows();
  products::input_gradient(queue_, of, part.outputs, weights(down_), d_hidden);
  products::input_gradient(queue_, of, part.network.up, weights(up_), d_rows);
  if (gate_ >= 0) products::input_gradient(queue_, of, part.network.gate, weights(gate_), d_rows, products::Write::add);
}

void LayerRig::weight_gradients(const moe::ExpertRows::Part& part) const {
  const nn::NetworkRows pieces = experts_->pieces(parameters_.nodes(Placement::expert));
  const auto product = [&](int id, const Tensor& dy, const Tensor& x) {
    products::weight_gradient(
        queue_, {pieces.pieces, pieces.networks.count, pieces.pieces_of_one, pieces.nodes, pieces.usual}, dy, x,
        {parameters_.gradient(id), parameters_.gradient_stride(id), parameters_[id].stride});
  };
  product(down_, part.outputs, part.network.hidden);
  product(up_, part.network.up, part.rows);
  if (gate_ >= 0) product(gate_, part.network.gate, part.rows);
}

}  // namespace switchyard::bench
