#include "moe/rail_pass.hpp"

#include <algorithm>

namespace switchyard::moe {

RailPass::RailPass(Arena& arena, const Config& config, const Layout& layout, Element branch)
    : sums(sums_by_node(config, layout)), work(arena, config, layout) {
  const Index width = config.model.width, row = width * bytes_of(branch), row_of_floats = width * Index{sizeof(float)};
  const HandedOn here = most_handed_on(config, layout);
  const Index token_rows = most_token_rows(config, layout), choices = most_choices(config, layout);
  const auto buffer = [&](const char* label, Index bytes) { return Buffer(arena, label, Account::exchange, bytes); };
  send = buffer("moe::rail::send", std::max(token_rows * row_of_floats, (sums ? here.tokens : here.choices) * row));
  receive = buffer("moe::rail::receive", here.tokens * row_of_floats);
  home = buffer("moe::rail::home", (sums ? token_rows : choices) * row);
  d_weights_here = buffer("moe::rail::d_weights_here", sums ? here.choices * Index{sizeof(float)} : 0);
  d_weights_home = buffer("moe::rail::d_weights_home", sums ? choices * Index{sizeof(float)} : 0);
}

}  // namespace switchyard::moe
