// The shape of tiles in which weight gradients of even grains are made (dense_halves_cuda.hpp); all have the same bits.
#include "tensor/products/dense_halves_cuda.hpp"

namespace switchyard::products {

void sum_even_halves(cudaStream_t stream, const Grouped& p, const std::vector<TreeNode>& nodes, const Gradients& dw) {
  constexpr Index part = 512;  // rows, of which a block's copies and products take about as long as its launch
  leaf_sums::sum_even<leaf_sums::Shape<1, 1, 64, 64, 5>>(stream, p, nodes, dw, part);
}

}  // namespace switchyard::products
