// Oracle of the mixture of experts in plain double loops: what combine(experts(dispatch(x))) is, and its gradients.
#pragma once
#include <cmath>
#include <cstdint>
#include <vector>

#include "config/config.hpp"

namespace switchyard::reference {

using Doubles = std::vector<double>;

inline double activate(Activation kind, double gate, double up) {
  if (kind == Activation::relu) return up > 0.0 ? up : 0.0;
  if (kind == Activation::gelu) return 0.5 * up * (1.0 + std::erf(up / std::sqrt(2.0)));
  return gate / (1.0 + std::exp(-gate)) * up;
}

/// Derivatives of activate() by gate and by up.
inline void activate_gradient(Activation kind, double gate, double up, double& by_gate, double& by_up) {
  by_gate = 0.0;
  if (kind == Activation::relu) {
    by_up = up > 0.0 ? 1.0 : 0.0;
  } else if (kind == Activation::gelu) {
    by_up = 0.5 * (1.0 + std::erf(up / std::sqrt(2.0))) + up * std::exp(-0.5 * up * up) / std::sqrt(2.0 * M_PI);
  } else {
    const double s = 1.0 / (1.0 + std::exp(-gate));
    by_up = gate * s;
    by_gate = up * s * (1.0 + gate * (1.0 - s));
  }
}

/// One network d → f → d without biases, (out, in) row-major weights; gate empty where not gated.
struct FeedForward {
  Activation kind = Activation::gelu;
  int d = 0, f = 0;
  Doubles gate, up, down;
};

inline Doubles product(const Doubles& w, int rows, int columns, const double* x) {
  Doubles y(rows, 0.0);
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j) y[i] += w[i * columns + j] * x[j];
  return y;
}

/// Hidden rows of one token.
struct Hidden {
  Doubles gate, up, hidden;
};

inline Hidden hidden_of(const FeedForward& n, const double* x) {
  Hidden h{n.gate.empty() ? Doubles(n.f, 0.0) : product(n.gate, n.f, n.d, x), product(n.up, n.f, n.d, x), Doubles(n.f)};
  for (int i = 0; i < n.f; ++i) h.hidden[i] = activate(n.kind, h.gate[i], h.up[i]);
  return h;
}

inline Doubles forward(const FeedForward& n, const double* x) {
  return product(n.down, n.d, n.f, hidden_of(n, x).hidden.data());
}

/// Adds to the gradients `dn` (same shapes) and to dx(d).
inline void backward(const FeedForward& n, const double* x, const double* dy, FeedForward& dn, double* dx) {
  const Hidden h = hidden_of(n, x);
  for (int i = 0; i < n.f; ++i) {
    double dh = 0.0, by_gate, by_up;
    for (int c = 0; c < n.d; ++c) {
      dh += dy[c] * n.down[c * n.f + i];
      dn.down[c * n.f + i] += dy[c] * h.hidden[i];
    }
    activate_gradient(n.kind, h.gate[i], h.up[i], by_gate, by_up);
    for (int c = 0; c < n.d; ++c) {
      dn.up[i * n.d + c] += dh * by_up * x[c];
      dx[c] += dh * by_up * n.up[i * n.d + c];
      if (n.gate.empty()) continue;
      dn.gate[i * n.d + c] += dh * by_gate * x[c];
      dx[c] += dh * by_gate * n.gate[i * n.d + c];
    }
  }
}

/// Routing of N tokens, k choices each.
struct Routing {
  int tokens = 0, k = 0;
  std::vector<std::int32_t> expert;
  std::vector<float> weight;
  std::vector<std::uint8_t> kept;
};

/// y(N, d) += mixture of x(N, d).
inline void mixture(const Routing& r, const std::vector<FeedForward>& experts, const Doubles& x, Doubles& y) {
  const int d = experts[0].d;
  for (int i = 0; i < r.tokens * r.k; ++i) {
    if (!r.kept[i]) continue;
    const Doubles out = forward(experts[r.expert[i]], &x[i / r.k * d]);
    for (int c = 0; c < d; ++c) y[i / r.k * d + c] += r.weight[i] * out[c];
  }
}

/// Adds to the experts' gradients and dx(N, d); dweight(N, k) is replaced.
inline void mixture_backward(const Routing& r, const std::vector<FeedForward>& experts, const Doubles& x,
                             const Doubles& dy, std::vector<FeedForward>& d_experts, Doubles& dx, Doubles& dweight) {
  const int d = experts[0].d;
  dweight.assign(r.tokens * r.k, 0.0);
  for (int i = 0; i < r.tokens * r.k; ++i) {
    if (!r.kept[i]) continue;
    const double *xi = &x[i / r.k * d], *dyi = &dy[i / r.k * d];
    const Doubles out = forward(experts[r.expert[i]], xi);
    Doubles weighted(d);
    for (int c = 0; c < d; ++c) {
      dweight[i] += dyi[c] * out[c];
      weighted[c] = r.weight[i] * dyi[c];
    }
    backward(experts[r.expert[i]], xi, weighted.data(), d_experts[r.expert[i]], &dx[i / r.k * d]);
  }
}

}  // namespace switchyard::reference
