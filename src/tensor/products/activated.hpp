// The products of a feed-forward network together with its activation: activated_host.cpp makes them one after another,
// activated_cuda.cpp in one kernel each where it can.
#pragma once
#include "config/enums.hpp"
#include "tensor/products/products.hpp"

namespace switchyard::products {

/// The matrices (f, d) into the hidden width; no gate where the activation has none.
struct UpWeights {
  Weights gate, up;
};

/// Rows (M, f) of one shape and element: gate and up are slopes or gradients, gate is empty where there is none.
struct HiddenRows {
  Tensor gate, up, hidden;
};

/// hidden = activation(x·gateᵀ, x·upᵀ) of x(M, d), and its slopes in gate and up (tensor/activation.hpp).
void forward_activated(const Queue& queue, const Segments& segments, const Tensor& x, const UpWeights& w,
                       Activation activation, const HiddenRows& to);

/// Slopes in gate and up become the gradients of what was activated, given d_out(M, d) of hidden·downᵀ, down (d, f).
/// rows.hidden may be overwritten.
void backward_activated(const Queue& queue, const Segments& segments, const Tensor& d_out, const Weights& down,
                        Activation activation, const HiddenRows& rows);

/// dx(M, d) = gate·W_gate + up·W_up of these gradients, replaced or added to.
void input_gradient_activated(const Queue& queue, const Segments& segments, const HiddenRows& d, const UpWeights& w,
                              const Tensor& dx, Write write);

/// The same one product after another, on any backend.
namespace apart {
void forward_activated(const Queue& queue, const Segments& segments, const Tensor& x, const UpWeights& w,
                       Activation activation, const HiddenRows& to);
void backward_activated(const Queue& queue, const Segments& segments, const Tensor& d_out, const Weights& down,
                        Activation activation, const HiddenRows& rows);
void input_gradient_activated(const Queue& queue, const Segments& segments, const HiddenRows& d, const UpWeights& w,
                              const Tensor& dx, Write write);
}  // namespace apart

}  // namespace switchyard::products
