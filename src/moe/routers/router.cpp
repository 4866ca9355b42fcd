#include "moe/routers/router.hpp"

#include <string>

#include "base/check.hpp"

namespace switchyard::moe {

Router::Router(const RouterContext& context)
    : shape_(router_shape(context.config.moe, context.config.block_experts(context.block))) {
  const RouterShape& s = shape_;
  expect(s.experts >= 1 && s.top_k >= 1 && s.top_k <= s.experts && s.top_k <= max_choices, "1 <= k <= E, and k <= 32");
  expect(s.groups >= 1 && s.groups <= max_groups && s.experts % s.groups == 0, "at most 64 groups that divide E");
  expect(s.groups_kept >= 1 && s.groups_kept <= s.groups, "groups to keep among all");
  expect(s.top_k <= s.experts / s.groups * s.groups_kept, "k experts in the groups kept");
}

nn::Linear linear_of(const RouterContext& context, const char* name) {
  return {context.parameters, "blocks." + std::to_string(context.block) + ".moe." + name + ".weight"};
}

std::unique_ptr<Router> make_router(const RouterContext& context) {
  switch (context.config.moe.router) {
    case RouterKind::softmax:
      return make_softmax_router(context);
    case RouterKind::sigmoid:
      return make_sigmoid_router(context);
    case RouterKind::noisy_topk:
      return make_noisy_topk_router(context);
    case RouterKind::hash:
      return make_hash_router(context);
  }
  throw Error(Exit::internal, "a router without a line in make_router");
}

}  // namespace switchyard::moe
