#include "train/probe.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include "base/check.hpp"
#include "base/philox.hpp"
#include "config/architecture.hpp"
#include "tensor/products/library.hpp"

namespace switchyard::train {
namespace {

void draw(const Queue& queue, const Matrix<float>& values, std::uint64_t key) {
  float* to = values.data();
  Kokkos::parallel_for(
      "switchyard::probe::draw", queue.range(values.size()), KOKKOS_LAMBDA(Index i) {
        to[i] = uniform(philox(key, {{static_cast<std::uint32_t>(i), 0, 0, 0}}).v[0]) - 0.5f;
      });
}

Matrix<float> drawn(const Queue& queue, Index rows, Index width, std::uint64_t key) {
  const auto values = make_view<Matrix<float>>("probe::values", rows, width);
  draw(queue, values, key);
  return values;
}

using Product = ProbedProducts::Product;

/// A product of products.hpp, whose result has `out` columns.
std::vector<float> rows_of(const Queue& queue, Product product, const Tensor& x, const Tensor& w, Index out) {
  const auto y = make_view<Matrix<float>>("probe::y", x.rows, out);
  product(queue, products::dense(x.rows), x, {w}, y, products::Write::replace);
  return host_values(y);
}

void compare(const Queue& queue, Product product, Index rows, Index n, Index k, bool forward) {
  const Index out = forward ? n : k;
  const Matrix<float> held = drawn(queue, rows, forward ? k : n, 1), w = drawn(queue, n, k, 2);
  const Tensor x = held;
  const auto full = rows_of(queue, product, x, w, out);
  for (const Index part : {Index{1}, Index{7}}) {
    const Index first = std::max<Index>(0, rows - part);  // the last rows, where a full product has its ragged tile
    const auto some = rows_of(queue, product, x.part(first, rows - first), w, out);
    check(std::memcmp(some.data(), full.data() + first * out, some.size() * sizeof(float)) == 0, Exit::layout_variant,
          std::string("a product (") + products::description() + ") of shape N=" + std::to_string(n) +
              " K=" + std::to_string(k) + " gives other bits for M=" + std::to_string(rows - first) + " than among " +
              std::to_string(rows) +
              " rows, so train.determinism: layout cannot be promised by this build; run promises less");
  }
}

}  // namespace

void probe_products(const Config& c, const ProbedProducts& probed) {
  std::set<std::pair<Index, Index>> shapes;
  for (const TensorSpec& tensor : architecture(c))
    if (tensor.shape.size() >= 2) shapes.insert({tensor.shape[tensor.shape.size() - 2], tensor.shape.back()});
  const Index rows = std::min<Index>(512, Index{c.grain_sequences()} * c.model.context);
  const Queue queue;
  for (const auto& [n, k] : shapes) {
    compare(queue, probed.forward, rows, n, k, true);
    compare(queue, probed.input_gradient, rows, n, k, false);
  }
}

}  // namespace switchyard::train
