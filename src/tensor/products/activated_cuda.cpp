// On a GPU: rows of Bf16 one expert after another by the kernels of experts_cuda.hpp, all others one product after
// another. Which it is depends on widths and elements, never on rows.
#include "tensor/products/activated.hpp"
#include "tensor/products/experts_cuda.hpp"

namespace switchyard::products {
namespace {

constexpr Index in_eights = 8;  // elements of 16 bytes

/// Whether the kernels read a matrix of rows as it lies.
bool plain(const Tensor& t) {
  return t.element == Element::bf16 && t.contiguous() && t.width % in_eights == 0 &&
         reinterpret_cast<std::uintptr_t>(t.data) % 16 == 0;
}
bool plain(const Weights& w) { return plain(w.matrix) && w.next % in_eights == 0; }

bool plain(const Segments& segments, const HiddenRows& rows, const UpWeights& w) {
  return segments.count <= experts::max_count && plain(rows.hidden) && plain(rows.up) && plain(w.up) &&
         (!rows.gate || (plain(rows.gate) && plain(w.gate)));
}

__nv_bfloat16* pointer(const Tensor& t) { return reinterpret_cast<__nv_bfloat16*>(t.data); }
experts::Matrices matrices(const Weights& w) { return {pointer(w.matrix), w.next}; }

experts::Call call(const Queue& queue, const Segments& segments, Index width, Index hidden) {
  tick();
  return {segments.first, segments.last,           segments.count,           segments.rows,
          segments.most,  static_cast<int>(width), static_cast<int>(hidden), queue.space().cuda_stream()};
}

}  // namespace

void forward_activated(const Queue& queue, const Segments& segments, const Tensor& x, const UpWeights& w,
                       Activation activation, const HiddenRows& to) {
  if (!plain(x) || !plain(segments, to, w)) return apart::forward_activated(queue, segments, x, w, activation, to);
  experts::up(call(queue, segments, x.width, to.up.width),
              {activation, pointer(x), nullptr, matrices(w.up), matrices(w.gate), pointer(to.hidden), pointer(to.up),
               pointer(to.gate)});
}

void backward_activated(const Queue& queue, const Segments& segments, const Tensor& d_out, const Weights& down,
                        Activation activation, const HiddenRows& rows) {
  if (!plain(d_out) || !plain(down) || !plain(segments, rows, {{rows.gate}, {rows.up}}))
    return apart::backward_activated(queue, segments, d_out, down, activation, rows);
  experts::hidden_gradient(call(queue, segments, d_out.width, rows.up.width),
                           {pointer(d_out), nullptr, matrices(down), pointer(rows.up), pointer(rows.gate), nullptr,
                            nullptr, nullptr, nullptr});
}

void input_gradient_activated(const Queue& queue, const Segments& segments, const HiddenRows& d, const UpWeights& w,
                              const Tensor& dx, Write write) {
  if (write == Write::add || !plain(dx) || !plain(segments, d, w))
    return apart::input_gradient_activated(queue, segments, d, w, dx, write);
  experts::input_gradient(call(queue, segments, dx.width, d.up.width),
                          {pointer(d.up), pointer(d.gate), matrices(w.up), matrices(w.gate), pointer(dx)});
}

}  // namespace switchyard::products
