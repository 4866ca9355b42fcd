// On a GPU: rows of Bf16 one expert after another by the kernels of experts_cuda.hpp, all others one product after
// another. Which it is depends on widths and elements, never on rows.
#include <algorithm>

#include "tensor/products/activated.hpp"
#include "tensor/products/experts_cuda.hpp"

namespace switchyard::products {
namespace {

constexpr Index in_eights = 8;  // elements of 16 bytes

/// Whether eight elements, and so 16 bytes, of a row are side by side and aligned wherever they begin.
bool in_sixteens(const Tensor& t) {
  return t.width % in_eights == 0 && t.stride * bytes_of(t.element) % 16 == 0 &&
         reinterpret_cast<std::uintptr_t>(t.data) % 16 == 0;
}

/// Whether the kernels read a matrix of rows as it lies.
bool plain(const Tensor& t) { return t.element == Element::bf16 && t.contiguous() && in_sixteens(t); }
bool plain(const Weights& w) { return plain(w.matrix) && w.next % in_eights == 0; }

bool plain(const Segments& segments, const HiddenRows& rows, const UpWeights& w) {
  return segments.count <= experts::max_count && plain(rows.hidden) && plain(rows.up) && plain(w.up) &&
         (!rows.gate || (plain(rows.gate) && plain(w.gate)));
}

__nv_bfloat16* pointer(const Tensor& t) { return reinterpret_cast<__nv_bfloat16*>(t.data); }
experts::Matrices matrices(const Weights& w) { return {pointer(w.matrix), w.next}; }

/// `rows` bounds where segments end.
experts::Call call(const Queue& queue, const Segments& segments, Index rows, Index width, Index hidden) {
  tick();
  return {segments.first, segments.last,           segments.count,           segments.rows > 0 ? rows : 0,
          segments.most,  static_cast<int>(width), static_cast<int>(hidden), queue.space().cuda_stream()};
}

}  // namespace

void forward_activated(const Queue& queue, const Segments& segments, const Tensor& x, const UpWeights& w,
                       Activation activation, const HiddenRows& to) {
  if (!plain(x) || !plain(segments, to, w)) return apart::forward_activated(queue, segments, x, w, activation, to);
  experts::up(call(queue, segments, std::min(x.rows, to.up.rows), x.width, to.up.width),
              {activation, pointer(x), nullptr, matrices(w.up), matrices(w.gate), pointer(to.hidden), pointer(to.up),
               pointer(to.gate)});
}

void backward_activated(const Queue& queue, const Segments& segments, const Tensor& d_out, const Weights& down,
                        Activation activation, const HiddenRows& rows) {
  if (!plain(d_out) || !plain(down) || !plain(segments, rows, {{rows.gate}, {rows.up}}))
    return apart::backward_activated(queue, segments, d_out, down, activation, rows);
  experts::hidden_gradient(call(queue, segments, std::min(d_out.rows, rows.up.rows), d_out.width, rows.up.width),
                           {pointer(d_out), nullptr, matrices(down), pointer(rows.up), pointer(rows.gate), nullptr,
                            nullptr, nullptr, nullptr});
}

void input_gradient_activated(const Queue& queue, const Segments& segments, const HiddenRows& d, const UpWeights& w,
                              const Tensor& dx, Write write) {
  if (!in_sixteens(dx) || !plain(segments, d, w))
    return apart::input_gradient_activated(queue, segments, d, w, dx, write);
  const int f = static_cast<int>(d.up.width);
  experts::linear_gradient(call(queue, segments, std::min(dx.rows, d.up.rows), dx.width, f),
                           {static_cast<int>(dx.width),
                            d.gate ? 2 : 1,
                            {pointer(d.up), pointer(d.gate)},
                            {f, f},
                            {f, f},
                            {matrices(w.up), matrices(w.gate)},
                            {dx.data, dx.stride},
                            {dx.element == Element::f32, write == Write::add}});
}

}  // namespace switchyard::products
