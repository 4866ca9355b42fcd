// Launches of causal attention of floats.
#include "model/attention/causal_float_cuda.hpp"
#include "model/attention/causal_launch_cuda.hpp"

namespace switchyard::model::causal {

void launch_forward(cudaStream_t stream, const Problem<float>& p) {
  const Index blocks = p.shape.sequences * p.shape.heads * p.blocks(few);
  by_width<32, 64, 128, 256>(p.shape.head_dim, [&]<int width>() {
    launch<forward_floats<width>>(stream, blocks, float_threads, float_forward_bytes<width>, p);
  });
}

void launch_backward(cudaStream_t stream, const Problem<float>& p, const Gradients<float>& g) {
  const Index parts = p.shape.sequences * p.blocks(few);
  by_width<32, 64, 128, 256>(p.shape.head_dim, [&]<int width>() {
    constexpr int bytes = float_backward_bytes<width>;
    launch<backward_queries_floats<width>>(stream, parts * p.shape.heads, float_threads, bytes, p, g);
    launch<backward_keys_floats<width>>(stream, parts * p.shape.kv_heads, float_threads, bytes, p, g);
  });
}

}  // namespace switchyard::model::causal
