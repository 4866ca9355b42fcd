// What the configuration knows of each router: its parameters, and the options that it can be combined with.
#pragma once
#include <string>
#include <vector>

#include "config/config.hpp"

namespace switchyard {

struct RouterTraits {
  std::vector<std::string> tensors;  ///< parameters of a layer, blocks.B.moe.<name>.weight (E, d); none: no scores
  std::vector<Normalise> normalise;  ///< the forms of moe.normalise that mean something
  std::string why;                   ///< the others do not
  bool ranked;                       ///< chooses by a score a bias can be added to, so groups and moe.bias_rule apply

  bool learned() const { return !tensors.empty(); }
  bool allows(Normalise form) const;
  /// A combine weight may be a score as it is, so that a token's only expert has another weight than 1.
  bool raw_weights() const { return learned() && allows(Normalise::none); }
};

RouterTraits traits_of(RouterKind router);

/// What moe.normalise auto stands for: after, but of one choice a token the form that teaches the router, if any does.
Normalise normalise_of(const MoeConfig& moe);

}  // namespace switchyard
