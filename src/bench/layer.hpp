// Forward and backward pass of one mixture of experts on one rank, beside its products alone: what `switchyard bench
// layer` prints.
#pragma once
#include <string>

#include "base/check.hpp"
#include "bench/loads.hpp"
#include "config/config.hpp"

namespace switchyard::bench {

struct LayerOptions {
  int tokens = 4096, width = 128, hidden = 512, experts = 8, top_k = 1;
  Activation activation = Activation::swiglu;
  Load load = Load::jittered;
  Precision precision = Precision::fp32;
  int grains = 1;
  int threads = 1;
  int warmup = 3, repetitions = 10;
  int queued = 3;      ///< passes asked for at once, so that the time of asking hides; a repetition is their mean
  bool serve = false;  ///< repetitions by request (bench/serve.hpp): "run N", "products N"
  std::string json;    ///< file that the result is appended to, one JSON line; empty for none
};

/// The configuration of a model that is such a layer. Throws Error{usage} where there is none.
Config layer_config(const LayerOptions& options);

/// FLOP of a pass that products do: 2 a multiply-add of rows by the weights of their experts, three times: 18·T·k·d·f
/// where gated, else 12.
double layer_flop(const LayerOptions& options);

/// One JSON line: medians of a pass (router, plan, rows to experts and home, experts; and all gradients) and of its
/// products alone on the same rows, TFLOP/s of layer_flop, milliseconds by stage. Or serves. Of one rank, in Kokkos.
Exit measure_layer(const LayerOptions& options);

}  // namespace switchyard::bench
