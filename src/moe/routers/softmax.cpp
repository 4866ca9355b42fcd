// Softmax of W·x over all experts; combine weights before or after selection (docs/conventions.md).
#include "base/check.hpp"
#include "moe/routers/prior.hpp"
#include "moe/routers/router.hpp"
#include "moe/routers/softmax_scores.hpp"

namespace switchyard::moe {
namespace {

class SoftmaxRouter : public Router {
 public:
  explicit SoftmaxRouter(const RouterContext& context)
      : Router(context), logits_(linear_of(context, "router")), prior_(context) {
    expect(shape().normalise != Normalise::none, "softmax weights, before or after selection");
  }
  void route(const Queue& queue, const TokenSet& tokens, const Vector<float>& bias,
             const RouterPass& pass) const override {
    route_by_softmax(queue, shape(), bias, pass, product(queue, tokens, pass));
  }
  void rescore(const Queue& queue, const TokenSet& tokens, const RouterPass& pass) const override {
    score_by_softmax(queue, pass, product(queue, tokens, pass));
  }
  void backward(const Queue& queue, const ScoreGradient& gradient, const RouterPass& pass,
                const Tensor& dx) const override {
    softmax_gradient(queue, shape(), gradient, pass);
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

  nn::Linear logits_;
  Prior prior_;
};

}  // namespace

std::unique_ptr<Router> make_softmax_router(const RouterContext& context) {
  return std::make_unique<SoftmaxRouter>(context);
}

}  // namespace switchyard::moe
