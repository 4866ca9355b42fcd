#include "model/lane.hpp"

namespace switchyard::model {

Lane::Lane(Arena& arena, const Config& config, const Layout& layout, SharedRows& shared, int threads)
    : rows(nn::make_rows(config, layout)),
      scratch(arena, rows, config, layout),
      index(arena, rows.count),
      final_norm(arena, rows),
      head(arena, rows),
      head_in(arena.tensor(rows.branch, rows.count, config.model.width)),
      gradient(arena, rows.branch, rows.count, config.model.width),
      ids(arena, "model::lane::ids", Account::activations, rows.count) {
  const Arena::Mark begin = arena.mark();
  head.take_scratch(arena, rows, config, threads);
  const Arena::Mark end = arena.mark();
  arena.rewind(begin);
  scratch.take_working(arena, rows, config, threads);
  arena.rewind(Arena::past_both(end, arena.mark()));
  blocks.reserve(config.model.blocks);
  for (int b = 0; b < config.model.blocks; ++b)
    blocks.emplace_back(arena, rows, BlockPlace{config, layout, b}, shared.of_block[b].get(), scratch);
  for (int b = 0; b <= config.model.blocks; ++b)
    stream.push_back(arena.tensor(Element::f32, rows.count, config.model.width));
}

}  // namespace switchyard::model
