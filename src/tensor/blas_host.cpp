// Matrix products on the CPU: groups cut into items of like work, each item a serial product on one thread. Cuts change
// no bit, since an element is one chain (blas.hpp).
#include <Kokkos_Core.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "tensor/blas.hpp"
#include "tensor/simd_product_host.hpp"
#include "tensor/small_product_host.hpp"
#include "tensor/types.hpp"

namespace switchyard::blas {
namespace {

/// Rows and columns of the result of one group.
struct Item {
  int group;
  Index row, rows, column, columns;
};

Index parts_of(Index total, Index max) { return (total + max - 1) / max; }

/// Cuts every group into items of at most a row block, and of columns in whole panels, so that there are about eight
/// items of like work a thread where the products are large enough for that.
const std::vector<Item>& cut(const Groups& groups, Index columns, Index depth) {
  static thread_local std::vector<Item> items;
  items.clear();
  const Index total = groups.offsets[groups.count] - groups.offsets[0];
  const Index share = total * columns * depth / (8 * Device().concurrency());
  const Index max_work = std::max<Index>(share, Index{1} << 18);  // multiply-adds of one item
  const Index max_rows = row_block(depth);
  for (int e = 0; e < groups.count; ++e) {
    const Index first = groups.offsets[e], rows = groups.offsets[e + 1] - first;
    const Index tiles = parts_of(parts_of(rows, std::max<Index>(1, parts_of(rows, max_rows))), simd::tile_rows);
    for (Index begin = 0; begin < rows; begin += tiles * simd::tile_rows) {
      const Index end = std::min(rows, begin + tiles * simd::tile_rows);
      const Index panels = parts_of(columns, simd::panel_width);
      const Index wanted = std::min(parts_of((end - begin) * columns * depth, max_work), panels);
      const Index parts = std::max<Index>(wanted, 1);  // also of a product without columns
      for (Index p = 0; p < parts; ++p) {
        const Index left = panels * p / parts * simd::panel_width;
        const Index right = std::min(columns, panels * (p + 1) / parts * simd::panel_width);
        items.push_back({e, first + begin, end - begin, left, right - left});
      }
    }
  }
  return items;
}

template <class F>
void for_items(const char* label, const std::vector<Item>& items, const F& work) {
  const Item* item = items.data();
  using Policy = Kokkos::RangePolicy<Device, Kokkos::Schedule<Kokkos::Dynamic>, Kokkos::IndexType<Index>>;
  Kokkos::parallel_for(label, Policy(0, static_cast<Index>(items.size()), Kokkos::ChunkSize(1)),
                       [=](Index i) { work(item[i]); });
}

}  // namespace

void forward(const Groups& groups, Index n, Index k, const float* x, const float* w, float* y, Write write) {
  const Index stride = matrix_stride(groups, n, k);
  for_items("switchyard::blas::forward", cut(groups, n, k), [=](const Item& i) {
    product_nt({i.rows, i.columns, k}, {x + i.row * k, k}, {w + i.group * stride + i.column * k, k},
               {y + i.row * n + i.column, n}, write);
  });
}

void input_gradient(const Groups& groups, Index n, Index k, const float* dy, const float* w, float* dx, Write write) {
  const Index stride = matrix_stride(groups, n, k);
  for_items("switchyard::blas::input_gradient", cut(groups, k, n), [=](const Item& i) {
    product_nn({i.rows, i.columns, n}, {dy + i.row * n, n}, {w + i.group * stride + i.column, k},
               {dx + i.row * k + i.column, k}, write);
  });
}

std::string bits_depend_on() { return ""; }

const char* description() {
  static const std::string text = std::string("simd ") + simd::name;
  return text.c_str();
}

}  // namespace switchyard::blas
