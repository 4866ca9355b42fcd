// On the host a product and its activation share nothing but the cache.
#include "tensor/products/activated.hpp"

namespace switchyard::products {

void forward_activated(const Queue& queue, const Segments& segments, const Tensor& x, const UpWeights& w,
                       Activation activation, const HiddenRows& to) {
  apart::forward_activated(queue, segments, x, w, activation, to);
}

void backward_activated(const Queue& queue, const Segments& segments, const Tensor& d_out, const Weights& down,
                        Activation activation, const HiddenRows& rows) {
  apart::backward_activated(queue, segments, d_out, down, activation, rows);
}

void input_gradient_activated(const Queue& queue, const Segments& segments, const HiddenRows& d, const UpWeights& w,
                              const Tensor& dx, Write write) {
  apart::input_gradient_activated(queue, segments, d, w, dx, write);
}

}  // namespace switchyard::products
