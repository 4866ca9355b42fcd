// Noisy top-k gating (Shazeer et al. 2017, eq. 4): W·x + ε·softplus(W_noise·x) in training, W·x in evaluation, and a
// softmax over the selected.
#include "base/check.hpp"
#include "moe/routers/noise.hpp"
#include "moe/routers/router.hpp"
#include "moe/routers/softmax_scores.hpp"

namespace switchyard::moe {
namespace {

class NoisyTopKRouter : public Router {
 public:
  explicit NoisyTopKRouter(const RouterContext& context)
      : Router(context),
        seed_(context.config.train.seed),
        block_(context.block),
        logits_(linear_of(context, "router")),
        noise_(linear_of(context, "router_noise")) {
    expect(shape().normalise == Normalise::after, "noisy top-k with a softmax over the selected");
    expect(!shape().biased, "noisy top-k without a selection bias");
  }
  void route(const Queue& queue, const TokenSet& tokens, const Vector<float>& bias,
             const RouterPass& pass) const override {
    noisy_logits(queue, tokens, pass);
    route_by_softmax(queue, shape(), bias, pass);
  }
  void rescore(const Queue& queue, const TokenSet& tokens, const RouterPass& pass) const override {
    noisy_logits(queue, tokens, pass);
    score_by_softmax(queue, pass);
  }
  void backward(const Queue& queue, const ScoreGradient& gradient, const RouterPass& pass,
                const Tensor& dx) const override {
    softmax_gradient(queue, shape(), gradient, pass);
    logits_.input_gradient(queue, pass.scores.logits, dx);
    logits_.weight_gradient(queue, *pass.rows, pass.scores.logits, pass.x);
    noise_gradient(queue, pass.scores);
    noise_.input_gradient(queue, pass.scores.slope, dx, products::Write::add);
    noise_.weight_gradient(queue, *pass.rows, pass.scores.slope, pass.x);
  }

 private:
  void noisy_logits(const Queue& queue, const TokenSet& tokens, const RouterPass& pass) const {
    logits_.forward(queue, pass.x, pass.scores.logits);
    if (tokens.pass != Pass::train) return;
    noise_.forward(queue, pass.x, pass.scores.slope);
    add_noise(queue, {seed_, tokens.step, block_, tokens.sequences.first * tokens.context}, pass.scores);
  }

  std::uint64_t seed_;
  int block_;
  nn::Linear logits_, noise_;
};

}  // namespace

std::unique_ptr<Router> make_noisy_topk_router(const RouterContext& context) {
  return std::make_unique<NoisyTopKRouter>(context);
}

}  // namespace switchyard::moe
