// The configuration that estimates and advice are asked about.
#pragma once
#include "config/config.hpp"

namespace switchyard {

inline Config base() {
  Config c;
  c.model.vocabulary = 96;
  c.model.width = 16;
  c.model.heads = 4;
  c.model.context = 8;
  c.model.hidden = 24;
  c.moe.hidden = 40;
  return c;
}

}  // namespace switchyard
