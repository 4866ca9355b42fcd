// Softmax of W·x over all experts; combine weights before or after selection (docs/conventions.md).
#include "base/check.hpp"
#include "moe/routers/projection.hpp"
#include "moe/routers/softmax_scores.hpp"

namespace switchyard::moe {
namespace {

class SoftmaxRouter : public Router {
 public:
  explicit SoftmaxRouter(const RouterContext& context) : Router(context), logits_(context, "router") {
    expect(shape().normalise != Normalise::none, "softmax weights, before or after selection");
  }
  void route(const TokenSet&, const Vector<float>& bias, const RouterPass& pass) const override {
    logits_.forward(pass, pass.scores.logits);
    route_by_softmax(shape(), bias, pass);
  }
  void backward(const ScoreGradient& gradient, const RouterPass& pass, const Matrix<float>& dx) const override {
    softmax_gradient(shape(), gradient, pass);
    logits_.backward(pass, pass.scores.logits, dx, blas::Write::replace);
  }

 private:
  Projection logits_;
};

}  // namespace

std::unique_ptr<Router> make_softmax_router(const RouterContext& context) {
  return std::make_unique<SoftmaxRouter>(context);
}

}  // namespace switchyard::moe
