#include "moe/leg_pass.hpp"

#include <algorithm>

namespace switchyard::moe {

LegPass::LegPass(Arena& arena, const Config& config, const Layout& layout, Element branch, int leg)
    : sums(sums_on(config, layout, layout.legs().at(leg))), work(arena, config, layout, leg) {
  const Index width = config.model.width, row = width * bytes_of(branch), row_of_floats = width * Index{sizeof(float)};
  const HandedOn home_of = most_at_stop(leg, config, layout), here = most_at_stop(leg + 1, config, layout);
  const Index token_rows = most_token_rows(leg, config, layout), choices = home_of.choices;
  const auto buffer = [&](const char* label, Index bytes) { return Buffer(arena, label, Account::exchange, bytes); };
  send = buffer("moe::leg::send", std::max(token_rows * row_of_floats, (sums ? here.tokens : here.choices) * row));
  receive = buffer("moe::leg::receive", here.tokens * row_of_floats);
  home = buffer("moe::leg::home", (sums ? token_rows : choices) * row);
  d_weights_here = buffer("moe::leg::d_weights_here", sums ? here.choices * Index{sizeof(float)} : 0);
  d_weights_home = buffer("moe::leg::d_weights_home", sums ? choices * Index{sizeof(float)} : 0);
}

}  // namespace switchyard::moe
