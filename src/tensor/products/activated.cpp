// One product after another.
#include "tensor/products/activated.hpp"

#include "tensor/activation.hpp"

namespace switchyard::products::apart {

void forward_activated(const Queue& queue, const Segments& segments, const Tensor& x, const UpWeights& w,
                       Activation activation, const HiddenRows& to) {
  if (to.gate) forward(queue, segments, x, w.gate, to.gate);
  forward(queue, segments, x, w.up, to.up);
  activation::forward(queue, activation, to.gate, to.up, to.hidden);
}

void backward_activated(const Queue& queue, const Segments& segments, const Tensor& d_out, const Weights& down,
                        Activation activation, const HiddenRows& rows) {
  queue.join();  // `hidden` may be what a gradient of weights beside reads
  input_gradient(queue, segments, d_out, down, rows.hidden);
  activation::backward(queue, activation, rows.gate, rows.up, rows.hidden);
}

void input_gradient_activated(const Queue& queue, const Segments& segments, const HiddenRows& d, const UpWeights& w,
                              const Tensor& dx, Write write) {
  input_gradient(queue, segments, d.up, w.up, dx, write);
  if (d.gate) input_gradient(queue, segments, d.gate, w.gate, dx, Write::add);
}

}  // namespace switchyard::products::apart
