// A sigmoid of W·x for every expert alone; combine weights divided by the selected sum, or raw (docs/conventions.md).
#include "base/check.hpp"
#include "moe/routers/prior.hpp"
#include "moe/routers/router.hpp"
#include "moe/routers/sigmoid_scores.hpp"

namespace switchyard::moe {
namespace {

class SigmoidRouter : public Router {
 public:
  explicit SigmoidRouter(const RouterContext& context)
      : Router(context),
        wants_lse_(context.config.moe.z_loss > 0.0),
        logits_(linear_of(context, "router")),
        prior_(context) {
    expect(shape().normalise != Normalise::before, "sigmoids, normalised after selection or not");
  }
  void route(const Queue& queue, const TokenSet& tokens, const Vector<float>& bias,
             const RouterPass& pass) const override {
    route_by_sigmoid(queue, shape(), wants_lse_, bias, pass, product(queue, tokens, pass));
  }
  void rescore(const Queue& queue, const TokenSet& tokens, const RouterPass& pass) const override {
    score_by_sigmoid(queue, wants_lse_, pass, product(queue, tokens, pass));
  }
  void backward(const Queue& queue, const ScoreGradient& gradient, const RouterPass& pass,
                const Tensor& dx) const override {
    sigmoid_gradient(queue, shape(), gradient, pass);
    queue.beside({},
                 [&](const Queue& other) { logits_.weight_gradient(other, *pass.rows, pass.scores.logits, pass.x); });
    logits_.input_gradient(queue, pass.scores.logits, dx);
  }

 private:
  /// What makes the logits of pass.x; null where they are made here, since something is added to them.
  const nn::Linear* product(const Queue& queue, const TokenSet& tokens, const RouterPass& pass) const {
    if (!prior_) return &logits_;
    logits_.forward(queue, pass.x, pass.scores.logits);
    prior_.add_to(queue, tokens.ids, pass.scores.logits);
    return nullptr;
  }

  bool wants_lse_;
  nn::Linear logits_;
  Prior prior_;
};

}  // namespace

std::unique_ptr<Router> make_sigmoid_router(const RouterContext& context) {
  return std::make_unique<SigmoidRouter>(context);
}

}  // namespace switchyard::moe
