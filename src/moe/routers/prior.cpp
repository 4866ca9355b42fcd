#include "moe/routers/prior.hpp"

#include "base/philox.hpp"
#include "moe/routers/normal.hpp"

namespace switchyard::moe {

Prior::Prior(const RouterContext& context)
    : key_(stream_key(context.config.train.seed, Purpose::router_prior)),
      block_(static_cast<std::uint32_t>(context.block)),
      deviation_(static_cast<float>(context.config.moe.router_prior)) {}

void Prior::add_to(const Queue& queue, const Vector<std::int32_t>& ids, const Matrix<float>& logits) const {
  const Index experts = logits.extent(1), quads = (experts + 3) / 4;
  const std::uint64_t key = key_;
  const std::uint32_t block = block_;
  const float deviation = deviation_;
  Kokkos::parallel_for(
      "switchyard::moe::prior::add", queue.range(logits.extent(0) * quads), KOKKOS_LAMBDA(Index i) {
        const Index t = i / quads, quad = i % quads;
        const Philox r =
            philox(key, {{static_cast<std::uint32_t>(ids(t)), static_cast<std::uint32_t>(quad), block, 0}});
        for (int word = 0; word < 4 && quad * 4 + word < experts; ++word)
          logits(t, quad * 4 + word) += deviation * normal_quantile(open_uniform(r.v[word]));
      });
}

}  // namespace switchyard::moe
