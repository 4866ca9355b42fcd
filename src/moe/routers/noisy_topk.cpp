// Noisy top-k gating (Shazeer et al. 2017, eq. 4): W·x + ε·softplus(W_noise·x) in training, W·x in evaluation, and a
// softmax over the selected.
#include "base/check.hpp"
#include "moe/routers/noise.hpp"
#include "moe/routers/projection.hpp"
#include "moe/routers/softmax_scores.hpp"

namespace switchyard::moe {
namespace {

class NoisyTopKRouter : public Router {
 public:
  explicit NoisyTopKRouter(const RouterContext& context)
      : Router(context),
        seed_(context.config.train.seed),
        block_(context.block),
        logits_(context, "router"),
        noise_(context, "router_noise") {
    expect(shape().normalise == Normalise::after, "noisy top-k with a softmax over the selected");
    expect(!shape().biased, "noisy top-k without a selection bias");
  }
  void route(const TokenSet& tokens, const Vector<float>& bias, const RouterPass& pass) const override {
    logits_.forward(pass, pass.scores.logits);
    if (tokens.pass == Pass::train) {
      noise_.forward(pass, pass.scores.slope);
      add_noise({seed_, tokens.step, block_, tokens.sequences.first * tokens.context}, pass.scores);
    }
    route_by_softmax(shape(), bias, pass);
  }
  void backward(const ScoreGradient& gradient, const RouterPass& pass, const Matrix<float>& dx) const override {
    softmax_gradient(shape(), gradient, pass);
    logits_.backward(pass, pass.scores.logits, dx, blas::Write::replace);
    noise_gradient(pass.scores);
    noise_.backward(pass, pass.scores.slope, dx, blas::Write::add);
  }

 private:
  std::uint64_t seed_;
  int block_;
  Projection logits_, noise_;
};

}  // namespace

std::unique_ptr<Router> make_noisy_topk_router(const RouterContext& context) {
  return std::make_unique<NoisyTopKRouter>(context);
}

}  // namespace switchyard::moe
