// Activations for results that are rounded to bf16: by the approximate exponential and reciprocal of the GPU, a few
// 1e-6 of themselves, where tensor/activation.hpp costs about a hundred instructions an element.
#pragma once
#include "config/enums.hpp"
#include "tensor/activation.hpp"

namespace switchyard::products::experts {

/// hidden of one element, and its derivatives.
using Value = activation::Point;

__device__ __forceinline__ float power_of_two(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

__device__ __forceinline__ float reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

constexpr float log2_e = 1.442695041f;

__device__ __forceinline__ Value relu(float up) { return activation::relu_at(up); }

/// As activation::gelu_at, with a polynomial of relative error 5e-6.
__device__ __forceinline__ Value gelu(float up) {
  const float e = power_of_two(up * (-0.5f * log2_e * up));
  const float t = reciprocal(fmaf(0.31f, magnitude(up), 1.0f));
  const float tail =
      e * (t * horner(t, 0.12386056f, 0.12044248f, 0.13342600f, 0.015750428f, 0.18044614f, -0.073927922f));
  const float cdf = up < 0.0f ? tail : 1.0f - tail;
  return {up * cdf, 0.0f, fmaf(up * 0.398942280f, e, cdf)};
}

__device__ __forceinline__ Value swiglu(float gate, float up) {
  const float s = reciprocal(1.0f + power_of_two(-log2_e * gate)), swish = gate * s;
  return {swish * up, up * (s * fmaf(gate, 1.0f - s, 1.0f)), swish};
}

}  // namespace switchyard::products::experts
