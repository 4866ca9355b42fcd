// A router: tokens to scores, experts and combine weights, and the gradients back. Each is a class in a file of its own
// beside this one. It holds parameters and options only: the memory of a pass is the caller's, so that several passes
// may be under way. Every formula stands in docs/conventions.md.
#pragma once
#include <memory>

#include "moe/layer.hpp"
#include "moe/routers/scores.hpp"
#include "nn/linear.hpp"

namespace switchyard::moe {

/// What a router is made from; outlives it.
struct RouterContext {
  const Config& config;
  const ParameterSet& parameters;  ///< blocks.B.moe.(those of traits_of).weight (E, d)
  int block;
};

/// One pass of N tokens, which are whole grains, through a router.
struct RouterPass {
  Tensor x;                        ///< (N, d) read by route and backward
  const nn::Rows* rows = nullptr;  ///< the N tokens, whole grains; the lane's
  Scores scores;                   ///< written by route, read and overwritten by backward
  Choice choice;                   ///< written by route, which keeps all; backward reads it, after the caller's drops
  Vector<float> margin;            ///< (N) written by route: lowest chosen minus highest refused score, in [0, 1]
};

class Router {
 public:
  virtual ~Router() = default;
  /// Scores, choice and margin of pass.x, with the selection bias (E) added to what experts are ranked by. Local.
  virtual void route(const Queue& queue, const TokenSet& tokens, const Vector<float>& bias,
                     const RouterPass& pass) const = 0;
  /// pass.scores alone again, to the bit as route wrote them, as far as backward reads them: from pass.x and what route
  /// decided. Local.
  virtual void rescore(const Queue& queue, const TokenSet& tokens, const RouterPass& pass) const = 0;
  /// dx(N, d) and the gradients of the parameters are replaced by those of `gradient`; once a routed training pass, of
  /// at least one token. Local.
  virtual void backward(const Queue& queue, const ScoreGradient& gradient, const RouterPass& pass,
                        const Tensor& dx) const = 0;

  const RouterShape& shape() const { return shape_; }

 protected:
  /// Throws Error{internal} on options outside their ranges.
  explicit Router(const RouterContext& context);

 private:
  RouterShape shape_;
};

/// The product of tokens by a router's parameter blocks.B.moe.<name>.weight (E, d).
nn::Linear linear_of(const RouterContext& context, const char* name);

/// The router that the configuration names. Throws Error{internal} on options that it cannot be combined with.
std::unique_ptr<Router> make_router(const RouterContext& context);

// What make_router chooses from.
std::unique_ptr<Router> make_softmax_router(const RouterContext& context);
std::unique_ptr<Router> make_sigmoid_router(const RouterContext& context);
std::unique_ptr<Router> make_noisy_topk_router(const RouterContext& context);
std::unique_ptr<Router> make_hash_router(const RouterContext& context);

}  // namespace switchyard::moe
