#include "train/probe.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include "base/check.hpp"
#include "base/philox.hpp"
#include "tensor/blas.hpp"
#include "tensor/types.hpp"

namespace switchyard::train {
namespace {

void fill(Vector<float> v, std::uint64_t key) {
  float* values = v.data();
  Kokkos::parallel_for(
      "switchyard::probe::fill", Kokkos::RangePolicy<Device>(0, v.extent(0)), KOKKOS_LAMBDA(Index i) {
        values[i] = uniform(philox(key, {{static_cast<std::uint32_t>(i), 0, 0, 0}}).v[0]) - 0.5f;
      });
}

using Product = void (*)(const blas::Groups&, Index, Index, const float*, const float*, float*, blas::Write);

/// A product with the arguments of blas.hpp, and its number of columns.
std::vector<float> rows_of(Product product, Index rows, Index n, Index k, const float* x, const float* w, Index out) {
  const Index offsets[2] = {0, rows};
  auto y = make_view<Vector<float>>("probe::y", rows * out);
  product({1, offsets}, n, k, x, w, y.data(), blas::Write::replace);
  Kokkos::fence("switchyard::probe");
  const auto host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), y);
  return std::vector<float>(host.data(), host.data() + rows * out);
}

void compare(Product product, Index rows, Index n, Index k, bool forward) {
  const Index in = forward ? k : n, out = forward ? n : k;
  auto x = make_view<Vector<float>>("probe::x", rows * in);
  auto w = make_view<Vector<float>>("probe::w", n * k);
  fill(x, 1), fill(w, 2);
  const auto full = rows_of(product, rows, n, k, x.data(), w.data(), out);
  for (const Index part : {Index{1}, Index{7}}) {
    const Index first = std::max<Index>(0, rows - part);  // the last rows, where a full product has its ragged tile
    const auto some = rows_of(product, rows - first, n, k, x.data() + first * in, w.data(), out);
    check(std::memcmp(some.data(), full.data() + first * out, some.size() * sizeof(float)) == 0, Exit::layout_variant,
          std::string("a product (") + blas::description() + ") of shape N=" + std::to_string(n) +
              " K=" + std::to_string(k) + " gives other bits for M=" + std::to_string(rows - first) + " than among " +
              std::to_string(rows) +
              " rows, so train.determinism: layout cannot be promised by this build; run promises less");
  }
}

}  // namespace

void probe_products(const Config& c) {
  const Index d = c.model.width, kv = Index{c.kv_heads()} * c.head_dim();
  std::set<std::pair<Index, Index>> shapes{{d, d}, {kv, d}, {c.model.vocabulary, d}};
  for (int b = 0; b < c.model.blocks; ++b) {
    const Index experts = c.block_experts(b), f = experts ? c.moe.hidden : c.model.hidden;
    shapes.insert({{f, d}, {d, f}});
    if (experts) shapes.insert({experts, d});
    if (const Index shared = Index{c.moe.shared_experts} * f; experts && shared > 0)
      shapes.insert({{shared, d}, {d, shared}});
  }
  const Index rows = std::min<Index>(512, Index{c.grain_sequences()} * c.model.context);
  for (const auto& [n, k] : shapes) {
    compare(blas::forward, rows, n, k, true);
    compare(blas::input_gradient, rows, n, k, false);
  }
}

}  // namespace switchyard::train
