// Softmax of W·x over all experts; combine weights before or after selection (docs/conventions.md).
#include "base/check.hpp"
#include "moe/routers/router.hpp"
#include "moe/routers/softmax_scores.hpp"

namespace switchyard::moe {
namespace {

class SoftmaxRouter : public Router {
 public:
  explicit SoftmaxRouter(const RouterContext& context) : Router(context), logits_(linear_of(context, "router")) {
    expect(shape().normalise != Normalise::none, "softmax weights, before or after selection");
  }
  void route(const TokenSet&, const Vector<float>& bias, const RouterPass& pass) const override {
    logits_.forward(*pass.rows, pass.x, pass.scores.logits);
    route_by_softmax(shape(), bias, pass);
  }
  void backward(const ScoreGradient& gradient, const RouterPass& pass, const Matrix<float>& dx) const override {
    softmax_gradient(shape(), gradient, pass);
    logits_.input_gradient(*pass.rows, pass.scores.logits, dx);
    logits_.weight_gradient(*pass.rows, pass.scores.logits, pass.x);
  }

 private:
  nn::Linear logits_;
};

}  // namespace

std::unique_ptr<Router> make_softmax_router(const RouterContext& context) {
  return std::make_unique<SoftmaxRouter>(context);
}

}  // namespace switchyard::moe
