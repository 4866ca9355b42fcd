// The table of layers that tests go through.
#pragma once
#include <vector>

#include "layer_problem.hpp"
#include "support/kinds.hpp"

namespace switchyard::moe::testing {

inline std::vector<LayerCase> with_every_router(std::vector<LayerCase> cases) {
  for (const RouterKind router : test::all_of<RouterKind>())
    cases.push_back({test::name_of(router).c_str(), 5, 2, 3, Activation::gelu, router});
  return cases;
}

inline LayerCase in_chunks(LayerCase c, int hidden_chunks) {
  c.hidden_chunks = hidden_chunks;
  return c;
}

inline const std::vector<LayerCase>& cases() {
  constexpr Activation gelu = Activation::gelu, relu = Activation::relu, swiglu = Activation::swiglu;
  constexpr RouterKind softmax = RouterKind::softmax, sigmoid = RouterKind::sigmoid, noisy = RouterKind::noisy_topk;
  constexpr ExchangeKind straight = ExchangeKind::pairwise, collective = ExchangeKind::alltoallv,
                         by_node = ExchangeKind::node, gather = ExchangeKind::gather;
  static const std::vector<LayerCase> all = with_every_router(
      {{"one expert", 1, 1, 8},
       {"two experts", 2, 1, 8, relu},
       {"three experts, two choices", 3, 2, 8, gelu, softmax, 0, 0.0, 0.01},
       {"eight gated experts", 8, 2, 8, swiglu, sigmoid, 0, 0.0, 0.02},
       {"shared expert, six grains", 8, 2, 6, swiglu, softmax, 1},
       {"five grains, capacity", 3, 2, 5, gelu, softmax, 2, 0.7, 0.01},
       {"one grain", 8, 1, 1, gelu, noisy},
       {"many experts", 257, 1, 8, gelu, softmax, 0, 0.0, 0.01},
       {"many gated experts, two choices", 257, 2, 7, swiglu, sigmoid, 1},
       {"tokens alike", 8, 2, 8, gelu, softmax, 0, 0.0, 0.01, true},
       {"tokens alike, capacity", 8, 1, 4, gelu, softmax, 0, 1.0, 0.0, true},
       {"full vectors, collective", 8, 2, 8, gelu, softmax, 0, 1.25, 0.01, false, 32, collective},
       {"many experts, collective", 257, 2, 3, relu, softmax, 0, 0.0, 0.0, false, 16, collective},
       {"sums of two groups", 8, 3, 8, gelu, softmax, 1, 0.0, 0.01, false, 20, straight, 2},
       {"sums of more groups than experts", 5, 3, 8, swiglu, sigmoid, 0, 0.9, 0.0, false, 37, straight, 8},
       {"by nodes", 8, 3, 8, gelu, softmax, 1, 0.0, 0.01, false, 20, by_node},
       {"by nodes, capacity", 7, 2, 6, swiglu, sigmoid, 0, 0.8, 0.01, false, 37, by_node},
       {"sums by nodes", 8, 3, 8, gelu, softmax, 1, 0.0, 0.01, false, 20, by_node, 8},
       {"sums by nodes, capacity", 13, 4, 5, swiglu, sigmoid, 0, 0.8, 0.0, false, 16, by_node, 8},
       {"by nodes, tokens alike", 8, 2, 8, gelu, softmax, 0, 0.0, 0.0, true, 20, by_node, 4},
       {"by nodes, one choice", 257, 1, 3, relu, softmax, 0, 0.0, 0.0, false, 16, by_node, 2},
       {"gathered", 8, 3, 8, gelu, softmax, 1, 0.0, 0.01, false, 20, gather},
       {"gathered, sums home, capacity", 13, 4, 5, swiglu, sigmoid, 0, 0.8, 0.0, false, 16, gather, 8},
       {"gathered, sums of two nodes", 7, 3, 6, gelu, softmax, 0, 0.9, 0.0, false, 20, gather, 2},
       in_chunks({"two chunks", 5, 2, 8, swiglu, sigmoid, 1, 0.0, 0.01}, 2),
       in_chunks({"eight chunks, capacity", 3, 2, 6, gelu, softmax, 0, 0.8, 0.0, false, 16}, 8),
       in_chunks({"four chunks, collective", 8, 1, 3, relu, softmax, 0, 0.0, 0.0, false, 20, collective}, 4),
       in_chunks({"four chunks, sums by nodes", 8, 3, 8, gelu, softmax, 0, 0.0, 0.01, false, 20, by_node, 8}, 4),
       in_chunks({"two chunks by nodes", 7, 2, 4, swiglu, sigmoid, 0, 0.0, 0.0, false, 20, by_node}, 2)});
  return all;
}

}  // namespace switchyard::moe::testing
