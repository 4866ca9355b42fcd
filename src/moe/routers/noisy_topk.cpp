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
  void route(const TokenSet& tokens, const Vector<float>& bias, const RouterPass& pass) const override {
    logits_.forward(*pass.rows, pass.x, pass.scores.logits);
    if (tokens.pass == Pass::train) {
      noise_.forward(*pass.rows, pass.x, pass.scores.slope);
      add_noise({seed_, tokens.step, block_, tokens.sequences.first * tokens.context}, pass.scores);
    }
    route_by_softmax(shape(), bias, pass);
  }
  void backward(const ScoreGradient& gradient, const RouterPass& pass, const Matrix<float>& dx) const override {
    softmax_gradient(shape(), gradient, pass);
    logits_.input_gradient(*pass.rows, pass.scores.logits, dx);
    logits_.weight_gradient(*pass.rows, pass.scores.logits, pass.x);
    noise_gradient(pass.scores);
    noise_.input_gradient(*pass.rows, pass.scores.slope, dx, blas::Write::add);
    noise_.weight_gradient(*pass.rows, pass.scores.slope, pass.x);
  }

 private:
  std::uint64_t seed_;
  int block_;
  nn::Linear logits_, noise_;
};

}  // namespace

std::unique_ptr<Router> make_noisy_topk_router(const RouterContext& context) {
  return std::make_unique<NoisyTopKRouter>(context);
}

}  // namespace switchyard::moe
