// Random hash routing (Roller et al. 2021): k different experts, uniform and fixed for each token id, weight scale/k;
// score = 1/k at the chosen, else 0. Draws are Philox(seed, Purpose::router_hash, token id, block).
#include "base/check.hpp"
#include "base/philox.hpp"
#include "moe/routers/router.hpp"
#include "tensor/math.hpp"

namespace switchyard::moe {
namespace {

/// Key of the draws of one layer.
struct HashKey {
  std::uint64_t key;
  std::uint32_t block;
};

/// The r-th (from 0) of the experts that are not among `taken`, n of them, ascending; it is added to them.
KOKKOS_INLINE_FUNCTION int take(std::int32_t* taken, int n, int r) {
  int place = 0;
  for (; place < n && taken[place] <= r; ++place) ++r;
  for (int j = n; j > place; --j) taken[j] = taken[j - 1];
  taken[place] = r;
  return r;
}

/// k different experts of one token id, in the order drawn.
KOKKOS_INLINE_FUNCTION void hash_row(int experts, int k, HashKey key, std::uint32_t id, std::int32_t* expert) {
  std::int32_t taken[max_choices];
  Philox random{};
  for (int j = 0; j < k; ++j) {
    if (j % 4 == 0) random = philox(key.key, {{id, key.block, static_cast<std::uint32_t>(j / 4), 0}});
    const std::uint64_t among = static_cast<std::uint64_t>(experts - j);
    expert[j] = take(taken, j, static_cast<int>(random.v[j % 4] * among >> 32));
  }
}

void choose_by_hash(const Queue& queue, const RouterShape& shape, const HashKey& key, const Vector<std::int32_t>& ids,
                    const RouterPass& pass) {
  const Scores& scores = pass.scores;
  const Choice& choice = pass.choice;
  const Vector<float>& margin = pass.margin;
  const int k = shape.top_k, experts = shape.experts;
  const float share = 1.0f / static_cast<float>(k), weight = shape.scale * share;
  Kokkos::parallel_for(
      "switchyard::moe::hash::choose", queue.range(choice.tokens()), KOKKOS_LAMBDA(Index t) {
        const TokenChoices chosen = choice.of(t);
        hash_row(experts, k, key, static_cast<std::uint32_t>(ids(t)), chosen.expert);
        for (int e = 0; e < experts; ++e) scores.score(t, e) = 0.0f;
        for (int j = 0; j < k; ++j) {
          scores.score(t, chosen.expert[j]) = share;
          chosen.weight[j] = weight;
          choice.kept(choice.first(t) + j) = 1;
        }
        scores.inverse(t) = 1.0f;
        scores.lse(t) = 0.0f;
        scores.entropy(t) = fast_log(static_cast<float>(k));
        margin(t) = share;
      });
}

class HashRouter : public Router {
 public:
  explicit HashRouter(const RouterContext& context)
      : Router(context),
        key_{stream_key(context.config.train.seed, Purpose::router_hash), static_cast<std::uint32_t>(context.block)} {
    expect(!shape().biased, "a hash without a selection bias");
  }
  void route(const Queue& queue, const TokenSet& tokens, const Vector<float>&, const RouterPass& pass) const override {
    choose_by_hash(queue, shape(), key_, tokens.ids, pass);
  }
  void rescore(const Queue&, const TokenSet&, const RouterPass&) const override {}  // backward reads none
  void backward(const Queue& queue, const ScoreGradient&, const RouterPass&, const Tensor& dx) const override {
    fill(queue, dx.floats(), 0.0f);
  }

 private:
  HashKey key_;
};

}  // namespace

std::unique_ptr<Router> make_hash_router(const RouterContext& context) { return std::make_unique<HashRouter>(context); }

}  // namespace switchyard::moe
