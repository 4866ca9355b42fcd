#include "moe/journeys.hpp"

#include "moe/journeys/kinds.hpp"

namespace switchyard::moe {

std::unique_ptr<Journeys> make_journeys(const LayerContext& context, int block) {
  return context.groups.by_nodes ? make_by_nodes(context, block) : make_straight(context, block);
}

}  // namespace switchyard::moe
