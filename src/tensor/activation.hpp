// The element-wise part of a feed-forward, dense or expert: hidden = gelu(up), relu(up) or silu(gate) * up, and
// backwards.
#pragma once
#include <cstdint>

#include "config/config.hpp"

namespace switchyard::activation {

using Index = std::int64_t;

/// Whether the activation has a third matrix, the gate.
inline bool gated(Activation kind) { return kind == Activation::swiglu; }

/// hidden(n) from up(n), and gate(n) where gated (else null). Device pointers; hidden may be up itself.
/// GELU in the exact form x·Φ(x) (Hendrycks & Gimpel 2016); SwiGLU silu(gate)·up (Shazeer 2020).
void forward(Activation kind, Index n, const float* gate, const float* up, float* hidden);

/// d_up(n), and d_gate(n) where gated (else null), given d_hidden(n); d_up may be d_hidden itself, d_gate may be gate.
void backward(Activation kind, Index n, const float* gate, const float* up, const float* d_hidden, float* d_gate,
              float* d_up);

}  // namespace switchyard::activation
