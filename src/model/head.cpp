// The head: the products and the sums of losses; what happens inside a row stands in head_host.cpp and head_cuda.cpp.
#include "model/head.hpp"

#include <algorithm>
#include <bit>

namespace switchyard::model {
namespace {

template <class T>
Vector<T> part(const Vector<T>& v, Index first, Index count) {
  return Vector<T>(v.data() + first, count);
}

/// into += from, where `from` is the right neighbour.
void merge(const Queue& queue, Index n, const float* from, float* into) {
  Kokkos::parallel_for(
      "switchyard::head::merge", queue.range(n), KOKKOS_LAMBDA(Index i) { into[i] += from[i]; });
}

/// Of grain i of a node whose pieces are `in_piece` grains each: the sum of a piece's grains is one buffer, to which a
/// grain after the first is added from the next level.
GrainPlace place_of(int slot, int i, int in_piece) {
  const auto piece = static_cast<unsigned>(i / in_piece);
  const int begun = i % in_piece > 0, complete = (i + 1) % in_piece == 0;
  return {slot, std::popcount(piece) + begun, begun + (complete ? std::countr_one(piece) : 0)};
}

}  // namespace

HeadPass::HeadPass(Arena& arena, const nn::Rows& all) {
  rows.targets = arena.vector<std::int32_t>(all.count);
  rows.loss = arena.vector<float>(all.count);
  rows.log_sum = arena.vector<float>(all.count);
  rows.predicted = arena.vector<std::int32_t>(all.count);
  loss = {arena, rows.loss}, log_sum = {arena, rows.log_sum};
}

void HeadPass::take_scratch(Arena& arena, const nn::Rows& all, const Config& config, int threads) {
  int max_size = 1;
  Index largest = 0;
  for (const TreeNode& node : all.nodes) max_size = std::max(max_size, node.size);
  for (int g = 0; g < all.grain_count(); ++g) largest = std::max(largest, all.grains[g + 1] - all.grains[g]);
  const Index levels = all.count > 0 ? std::bit_width(static_cast<unsigned>(max_size)) - 1 + (all.piece_grains > 1) : 0;
  const Index vocabulary = config.model.vocabulary;
  rows.logits = arena.matrix<float>(largest, vocabulary, Account::scratch);
  rows.memory = arena.vector<float>(head_memory(largest, vocabulary, threads), Account::scratch);
  subtrees = arena.vector<float>(levels * vocabulary * config.model.width, Account::scratch);
}

Head::Head(const ParameterSet& parameters, const Config& config)
    : weight_(parameters, config.model.tied ? "embedding.weight" : "head.weight"),
      token_weight_(static_cast<float>(1.0 / static_cast<double>(config.step_tokens()))),
      z_weight_(static_cast<float>(config.model.z_loss / static_cast<double>(config.step_tokens()))) {}

HeadRows Head::grain(const HeadPass& pass, Index first, Index count) const {
  HeadRows g = pass.rows;
  g.logits = Matrix<float>(g.logits.data(), count, g.logits.extent(1));
  g.targets = part(g.targets, first, count);
  g.loss = part(g.loss, first, count), g.log_sum = part(g.log_sum, first, count);
  g.predicted = part(g.predicted, first, count);
  g.token_weight = token_weight_, g.z_weight = z_weight_;
  return g;
}

void Head::add_gradient(const Queue& queue, const HeadPass& pass, const GrainPlace& place, const Tensor& dy,
                        const Tensor& x) const {
  const Index n = weight_.out() * weight_.in();
  int height = place.height;
  const auto level = [&](int h) { return h == 0 ? weight_.gradient(place.slot) : pass.subtrees.data() + (h - 1) * n; };
  weight_.grain_gradient(queue, dy, x, level(height));
  for (int merges = place.merges; merges > 0; --merges, --height) merge(queue, n, level(height), level(height - 1));
}

void Head::take_targets(const Queue& queue, const std::vector<std::int32_t>& targets, HeadPass& pass) const {
  copy(queue, pass.rows.targets, HostVector<const std::int32_t>(targets.data(), targets.size()));
}

void Head::forward(const Queue& queue, const nn::Rows& rows, const Branch& branch, moe::Pass kind,
                   HeadPass& pass) const {
  int g = 0;
  for (int node = 0; node < static_cast<int>(rows.nodes.size()); ++node)
    for (int i = 0; i < rows.nodes[node].size * rows.piece_grains; ++i, ++g) {
      const Index first = rows.grains[g], count = rows.grains[g + 1] - first;
      const HeadRows own = grain(pass, first, count);
      const Tensor x = branch.x.part(first, count);
      weight_.forward(queue, x, own.logits);
      head_losses(queue, own, kind);
      if (kind != moe::Pass::train) continue;
      weight_.input_gradient(queue, own.logits, branch.dx.part(first, count));
      add_gradient(queue, pass, place_of(rows.sums.slot + node, i, rows.piece_grains), own.logits, x);
    }
  if (kind == moe::Pass::train) weight_.take_steps(queue, rows);
}

std::vector<float> Head::logits(const Queue& queue, const Tensor& x, Index row) const {
  const auto out = make_view<Matrix<float>>("model::head::scratch", 1, weight_.out());
  weight_.forward(queue, x.part(row, 1), out);
  return host_values(out);
}

std::vector<double> grain_losses(const Queue& queue, const nn::Rows& rows, const HeadPass& pass) {
  const auto &loss = pass.loss.ask(queue), &log_sum = pass.log_sum.ask(queue);
  queue.fence("switchyard::model::head::losses");
  std::vector<double> sums(2 * rows.grain_count(), 0.0);
  for (int g = 0; g < rows.grain_count(); ++g)
    for (Index i = rows.grains[g]; i < rows.grains[g + 1]; ++i) {
      sums[2 * g] += loss(i);
      sums[2 * g + 1] += static_cast<double>(log_sum(i)) * log_sum(i);
    }
  return sums;
}

}  // namespace switchyard::model
