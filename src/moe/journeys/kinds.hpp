// What make_journeys chooses from: one file each beside this one.
#pragma once
#include <memory>

#include "moe/journeys.hpp"

namespace switchyard::moe {

std::unique_ptr<Journeys> make_straight(const LayerContext& context, int block);
std::unique_ptr<Journeys> make_by_nodes(const LayerContext& context, int block);

}  // namespace switchyard::moe
