#include "train/synthetic.hpp"

#include "base/philox.hpp"

namespace switchyard::train {

data::Batch synthetic_batch(const Config& c, const Layout& layout, std::int64_t step) {
  data::Batch batch;
  batch.step = step;
  batch.context = c.model.context;
  const Range grains = layout.my_grains();
  batch.sequences = {grains.first * c.grain_sequences(), grains.last * c.grain_sequences()};
  const std::uint64_t key = stream_key(c.data.seed, Purpose::synthetic);
  const auto token = [&](std::int64_t sequence, std::int64_t position) {
    const auto bits = philox(key, {{static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(sequence),
                                    static_cast<std::uint32_t>(position), 0}});
    return static_cast<std::int32_t>(bits.v[0] % static_cast<std::uint32_t>(c.model.vocabulary));
  };
  for (std::int64_t s = batch.sequences.first; s < batch.sequences.last; ++s) {
    batch.position.push_back(s * c.model.context);
    for (std::int64_t t = 0; t < c.model.context; ++t) {
      batch.tokens.push_back(token(s, t));
      batch.targets.push_back(token(s, t + 1));
    }
  }
  return batch;
}

}  // namespace switchyard::train
