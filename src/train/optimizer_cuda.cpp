// The update on a GPU: one launch for all parameters, which also rounds the weights that products read.
#include "tensor/launch_cuda.hpp"
#include "tensor/packs_cuda.hpp"
#include "train/optimizer.hpp"

namespace switchyard::train {
namespace {

using gpu::pack;
constexpr int threads = 256;
constexpr int rounds = unit_block / (threads * pack);

/// Slabs by placement; `rounded` is null where products read the values.
struct Slabs {
  const float* gradient[2];
  float *value[2], *first[2], *second[2];
  Bf16* rounded[2];
};

/// The slabs of one placement from the first element of a block on.
struct BlockSlabs {
  const float* gradient;
  float *value, *first, *second;
  Bf16* rounded;
};

template <class T>
__device__ T* from(T* const (&slabs)[2], int placement, Index element) {
  T* slab = placement ? slabs[1] : slabs[0];
  return slab ? slab + element : nullptr;
}

__device__ void update_pack(const AdamW& a, const BlockSlabs& s, int i) {
  float g[pack], p[pack], m[pack], v[pack];
  gpu::read<true>(s.gradient, i, unit_block, g);
  gpu::read<true>(s.value, i, unit_block, p);
  gpu::read<true>(s.first, i, unit_block, m);
  gpu::read<true>(s.second, i, unit_block, v);
#pragma unroll
  for (int l = 0; l < pack; ++l) adamw_element(a, g[l], p[l], m[l], v[l]);
  gpu::write<true>(p, s.value, i, unit_block);
  gpu::write<true>(m, s.first, i, unit_block);
  gpu::write<true>(v, s.second, i, unit_block);
  if (s.rounded) gpu::write<true>(p, s.rounded, i, unit_block);
}

__global__ void __launch_bounds__(threads)
    adamw_blocks(const UpdateBlock* blocks, Slabs slabs, const AdamW* scalars, const NormState* norm) {
  const UpdateBlock block = blocks[blockIdx.x];
  gpu::await_before();
  gpu::let_next_come();
  if (norm && !norm->finite) return;
  AdamW a = scalars[block.kind];
  if (norm) a.clip = norm->clip;
  const int p = block.placement;
  const Index at = block.at * unit_block, moments = block.moments * unit_block;
  const BlockSlabs s{from(slabs.gradient, p, at), from(slabs.value, p, at), from(slabs.first, p, moments),
                     from(slabs.second, p, moments), from(slabs.rounded, p, at)};
#pragma unroll
  for (int k = 0; k < rounds; ++k) update_pack(a, s, (k * threads + static_cast<int>(threadIdx.x)) * pack);
}

Slabs slabs_of(const ParameterSet& parameters, const Gradients& gradients) {
  Slabs slabs{};
  for (const Placement placement : {Placement::replicated, Placement::expert}) {
    const int p = static_cast<int>(placement);
    slabs.gradient[p] = gradients.slab[p].data();
    slabs.value[p] = parameters.values(placement).data();
    slabs.first[p] = parameters.first_moments(placement).data();
    slabs.second[p] = parameters.second_moments(placement).data();
    const Tensor rounded = parameters.rounded(placement);
    if (rounded && !parameters.sharded()) slabs.rounded[p] = rounded.lines<Bf16>().data;
  }
  return slabs;
}

}  // namespace

Optimizer::Optimizer(const ParameterSet& parameters)
    : parameters_(&parameters),
      blocks_(to_device("optimizer::blocks", update_blocks(parameters))),
      scalars_(make_view<Vector<AdamW>>("optimizer::scalars", update_kinds)) {}

void Optimizer::take_scalars(const Queue& queue, const TrainConfig& config, const Update& update) const {
  const KindScalars kinds = kind_scalars(config, update);
  check_cuda(
      cudaMemcpyAsync(scalars_.data(), kinds.data(), sizeof kinds, cudaMemcpyHostToDevice, gpu::stream_of(queue)),
      "cudaMemcpyAsync");
}

void Optimizer::launch(const Queue& queue, const Gradients& gradients, const NormState* norm) const {
  const auto blocks = static_cast<unsigned>(blocks_.extent(0));
  if (blocks == 0) return;
  gpu::launch(adamw_blocks, blocks, threads, 0, gpu::stream_of(queue), blocks_.data(),
              slabs_of(*parameters_, gradients), scalars_.data(), norm);
}

void Optimizer::update(const Queue& queue, const Gradients& gradients, const TrainConfig& config, const Update& update,
                       const NormState* norm) const {
  take_scalars(queue, config, update);
  launch(queue, gradients, norm);
}

}  // namespace switchyard::train
