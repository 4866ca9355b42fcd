// Matrix products on the CPU: segments cut into items of like work, each item a serial product on one thread. Cuts
// change no bit, since an element is one chain (products.hpp).
#include <Kokkos_Core.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "tensor/products/floats_host.hpp"
#include "tensor/products/library.hpp"
#include "tensor/products/workspace_host.hpp"

namespace switchyard::products {
namespace {

Index parts_of(Index total, Index max) { return (total + max - 1) / max; }

/// Multiply-adds of one item, so that there are about eight items of like work a thread where the products are large
/// enough for that.
Index work_of_item(const Queue& queue, const Segments& segments, Index columns, Index depth) {
  Index rows = 0;
  for (int s = 0; s < segments.count; ++s) rows += segments.end(s) - segments.begin(s);
  return std::max<Index>(rows * columns * depth / (8 * queue.space().concurrency()), Index{1} << 18);
}

/// Cuts every segment into items of at most a row block, and of columns in whole panels.
const std::vector<Item>& cut(const Queue& queue, const Segments& segments, Index columns, Index depth) {
  std::vector<Item>& items = queue.workspace().items;
  items.clear();
  const Index max_work = work_of_item(queue, segments, columns, depth), max_rows = row_block(depth);
  for (int s = 0; s < segments.count; ++s) {
    const Index first = segments.begin(s), rows = segments.end(s) - first;
    const Index tiles = parts_of(parts_of(rows, std::max<Index>(1, parts_of(rows, max_rows))), simd::tile_rows);
    for (Index begin = 0; begin < rows; begin += tiles * simd::tile_rows) {
      const Index end = std::min(rows, begin + tiles * simd::tile_rows);
      const Index panels = parts_of(columns, simd::panel_width);
      const Index wanted = std::min(parts_of((end - begin) * columns * depth, max_work), panels);
      const Index parts = std::max<Index>(wanted, 1);  // also of a product without columns
      for (Index p = 0; p < parts; ++p) {
        const Index left = panels * p / parts * simd::panel_width;
        const Index right = std::min(columns, panels * (p + 1) / parts * simd::panel_width);
        items.push_back({s, first + begin, end - begin, left, right - left});
      }
    }
  }
  return items;
}

template <class F>
void for_items(const char* label, const Queue& queue, const std::vector<Item>& items, const F& work) {
  const Item* item = items.data();
  using Policy = Kokkos::RangePolicy<Device, Kokkos::Schedule<Kokkos::Dynamic>, Kokkos::IndexType<Index>>;
  Kokkos::parallel_for(label, Policy(queue.space(), 0, static_cast<Index>(items.size()), Kokkos::ChunkSize(1)),
                       [=](Index i) {
                         tick();
                         work(item[i]);
                       });
}

/// Memory of one thread for operands and results that are not of floats.
struct Converted {
  simd::Scratch a, b, c;
};

using SerialProduct = void (*)(Size, ConstBlock, ConstBlock, Block, Write);

/// C (=|+=) A·B by a serial product of floats.
void multiply(SerialProduct product, const Tensor& a, const Tensor& b, const Tensor& c, Write write) {
  static thread_local Converted memory;
  const Size size{c.rows, c.width, a.width};
  const ConstBlock left = floats_of(a, memory.a), right = floats_of(b, memory.b);
  if (c.element == Element::f32) return product(size, left, right, {c.lines<float>().data, c.stride}, write);
  float* sums = memory.c.floats(c.rows * c.width);
  product(size, left, right, {sums, c.width}, Write::replace);
  store_rounded(sums, c, write);
}

}  // namespace

std::shared_ptr<Workspace> make_workspace(const Device& /*space*/) { return std::make_shared<Workspace>(); }

void forward(const Queue& queue, const Segments& segments, const Tensor& x, const Weights& w, const Tensor& y,
             Write write) {
  for_items("switchyard::products::forward", queue, cut(queue, segments, y.width, x.width), [=](const Item& i) {
    multiply(product_nt, x.part(i.row, i.rows), w.of(i.segment).part(i.column, i.columns),
             y.part(i.row, i.rows, i.column, i.columns), write);
  });
}

void input_gradient(const Queue& queue, const Segments& segments, const Tensor& dy, const Weights& w, const Tensor& dx,
                    Write write) {
  for_items("switchyard::products::input_gradient", queue, cut(queue, segments, dx.width, dy.width),
            [=](const Item& i) {
              multiply(product_nn, dy.part(i.row, i.rows), w.of(i.segment).part(0, w.matrix.rows, i.column, i.columns),
                       dx.part(i.row, i.rows, i.column, i.columns), write);
            });
}

std::string bits_depend_on() { return ""; }

const char* description() {
  static const std::string text = std::string("simd ") + simd::name;
  return text.c_str();
}

}  // namespace switchyard::products
