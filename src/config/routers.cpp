#include "config/routers.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace switchyard {

bool RouterTraits::allows(Normalise form) const {
  return form == Normalise::auto_ || std::find(normalise.begin(), normalise.end(), form) != normalise.end();
}

RouterTraits traits_of(RouterKind router) {
  using enum Normalise;
  switch (router) {  // no default: a router without a line here is a warning
    case RouterKind::softmax:
      return {{"router"}, {before, after}, "raw logits are no weights", true};
    case RouterKind::sigmoid:
      return {{"router"}, {after, none}, "sigmoid scores stand alone, nothing is normalised before selection", true};
    case RouterKind::noisy_topk:
      return {{"router", "router_noise"}, {after}, "Shazeer's gate is a softmax over the selected", false};
    case RouterKind::hash:
      return {{}, {before, after, none}, "", false};
  }
  throw Error(Exit::internal, "a router without traits");
}

Normalise normalise_of(const MoeConfig& moe) {
  if (moe.normalise != Normalise::auto_) return moe.normalise;
  const RouterTraits router = traits_of(moe.router);
  if (moe.top_k > 1 || !router.learned()) return Normalise::after;
  for (const Normalise form : {Normalise::before, Normalise::none})
    if (router.allows(form)) return form;
  return Normalise::after;
}

}  // namespace switchyard
