// The head: the products and the sums of losses; what happens inside a row stands in head_host.cpp and head_cuda.cpp.
#include "model/head.hpp"

#include <algorithm>
#include <bit>

namespace switchyard::model {
namespace {

template <class T>
Vector<T> part_of(const Vector<T>& v, Index first, Index count) {
  return Vector<T>(v.data() + first, count);
}

/// into += from, where `from` is the right neighbour.
void merge(const Queue& queue, Index n, const float* from, float* into) {
  Kokkos::parallel_for(
      "switchyard::head::merge", queue.range(n), KOKKOS_LAMBDA(Index i) { into[i] += from[i]; });
}

/// Grains whose logits there are at once: 2²⁸ logits at most, or one grain.
int grains_at_once(const nn::Rows& rows, Index vocabulary) {
  constexpr Index most = Index{1} << 28;
  if (on_host || rows.count == 0) return 1;
  return static_cast<int>(std::clamp<Index>(most / (rows.grain_rows * vocabulary), 1, rows.grain_count()));
}

/// Whether the gradient of the weight is one product of all grains: the same additions as grain by grain.
bool weight_at_once(const nn::Rows& rows, Index vocabulary) {
  return !on_host && rows.piece_grains == 1 && grains_at_once(rows, vocabulary) == rows.grain_count();
}

/// Of grain i of a node whose pieces are `in_piece` grains each: the sum of a piece's grains is one buffer, to which a
/// grain after the first is added from the next level.
GrainPlace place_of(int slot, int i, int in_piece) {
  const auto piece = static_cast<unsigned>(i / in_piece);
  const int begun = i % in_piece > 0, complete = (i + 1) % in_piece == 0;
  return {slot, std::popcount(piece) + begun, begun + (complete ? std::countr_one(piece) : 0)};
}

/// Of each local grain.
std::vector<GrainPlace> places_of(const nn::Rows& rows) {
  std::vector<GrainPlace> places;
  for (int node = 0; node < static_cast<int>(rows.nodes.size()); ++node)
    for (int i = 0; i < rows.nodes[node].size * rows.piece_grains; ++i)
      places.push_back(place_of(rows.sums.slot + node, i, rows.piece_grains));
  return places;
}

}  // namespace

HeadPass::HeadPass(Arena& arena, const nn::Rows& all) {
  targets = {arena, "model::head::targets", Account::activations, all.count};
  rows.targets = Vector<std::int32_t>(targets.device(), all.count);
  rows.loss = arena.vector<float>(all.count);
  rows.log_sum = arena.vector<float>(all.count);
  rows.predicted = arena.vector<std::int32_t>(all.count);
  sums = {arena, arena.vector<double>(2 * Index{all.grain_count()})};
}

void HeadPass::take_scratch(Arena& arena, const nn::Rows& all, const Config& config, int threads) {
  const Index vocabulary = config.model.vocabulary, at_once = grains_at_once(all, vocabulary);
  int max_size = 1;
  for (const TreeNode& node : all.nodes) max_size = std::max(max_size, node.size);
  const bool waits = all.count > 0 && !weight_at_once(all, vocabulary);
  const Index levels = waits ? std::bit_width(static_cast<unsigned>(max_size)) - 1 + (all.piece_grains > 1) : 0;
  const Index at_work = all.count > 0 ? at_once * all.grain_rows : 0;
  rows.logits = arena.tensor(all.branch, at_work, vocabulary, Account::scratch);
  rows.memory = arena.vector<float>(head_memory(at_work, vocabulary, threads), Account::scratch);
  subtrees = arena.vector<float>(levels * vocabulary * config.model.width, Account::scratch);
}

Head::Head(const ParameterSet& parameters, const Config& config)
    : weight_(parameters, config.model.tied ? "embedding.weight" : "head.weight"),
      token_weight_(static_cast<float>(1.0 / static_cast<double>(config.step_tokens()))),
      z_weight_(static_cast<float>(config.model.z_loss / static_cast<double>(config.step_tokens()))) {}

HeadRows Head::part(const HeadPass& pass, Index first, Index count) const {
  HeadRows own = pass.rows;
  own.logits = own.logits.part(0, count);
  own.targets = part_of(own.targets, first, count);
  own.loss = part_of(own.loss, first, count), own.log_sum = part_of(own.log_sum, first, count);
  own.predicted = part_of(own.predicted, first, count);
  own.token_weight = token_weight_, own.z_weight = z_weight_;
  return own;
}

void Head::add_gradient(const Queue& queue, const HeadPass& pass, const GrainPlace& place, const Tensor& dy,
                        const Tensor& x) const {
  const Index n = weight_.out() * weight_.in();
  int height = place.height;
  const auto level = [&](int h) { return h == 0 ? weight_.gradient(place.slot) : pass.subtrees.data() + (h - 1) * n; };
  weight_.grain_gradient(queue, dy, x, level(height));
  for (int merges = place.merges; merges > 0; --merges, --height) merge(queue, n, level(height), level(height - 1));
}

void Head::work(const Queue& queue, const nn::Rows& rows, const Branch& branch, moe::Pass kind, const Range& grains,
                HeadPass& pass) const {
  const Index first = rows.grains[grains.first], count = rows.grains[grains.last] - first;
  const HeadRows own = part(pass, first, count);
  weight_.forward(queue, branch.x.part(first, count), own.logits);
  head_losses(queue, own, kind);
  if (kind != moe::Pass::train) return;
  weight_.input_gradient(queue, own.logits, branch.dx.part(first, count));
  if (weight_at_once(rows, weight_.out())) return;
  const std::vector<GrainPlace> places = places_of(rows);
  for (Index g = grains.first; g < grains.last; ++g) {
    const Index at = rows.grains[g], n = rows.grains[g + 1] - at;
    add_gradient(queue, pass, places[g], own.logits.part(at - first, n), branch.x.part(at, n));
  }
}

void Head::forward(const Queue& queue, const nn::Rows& rows, const Branch& branch, moe::Pass kind,
                   HeadPass& pass) const {
  const Index all = rows.grain_count(), at_once = grains_at_once(rows, weight_.out());
  for (Index g = 0; g < all; g += at_once) work(queue, rows, branch, kind, {g, std::min(g + at_once, all)}, pass);
  if (kind != moe::Pass::train) return;
  if (weight_at_once(rows, weight_.out()))
    queue.beside({&pass.lent}, [&](const Queue& other) {
      weight_.weight_gradient(other, rows, pass.rows.logits.part(0, rows.count), branch.x);
    });
  else
    weight_.take_steps(queue, rows);
}

std::vector<float> Head::logits(const Queue& queue, const Tensor& x, Index row) const {
  const auto out = make_view<Matrix<float>>("model::head::scratch", 1, weight_.out());
  weight_.forward(queue, x.part(row, 1), out);
  return host_values(out);
}

void ask_losses(const Queue& queue, const nn::Rows& rows, const HeadPass& pass) {
  sum_losses(queue, rows, pass);
  pass.sums.ask(queue);
}

std::vector<double> grain_losses(const HeadPass& pass) {
  const auto& sums = pass.sums.host();
  return {sums.data(), sums.data() + sums.size()};
}

}  // namespace switchyard::model
