// The shape of tiles in which weight gradients of few rows a grain are made (tree_halves_cuda.hpp). All shapes have the
// same bits; this one was the fastest, or within a fifth of it, for 16 to 128 rows a grain.
#include "tensor/products/tree_halves_cuda.hpp"

namespace switchyard::products {

void sum_halves(cudaStream_t stream, const Grouped& p, const std::vector<TreeNode>& nodes, const Gradients& dw) {
  leaf_sums::sum_all<leaf_sums::Shape<1, 1, 64, 32, 5, 3>>(stream, p, nodes, dw);
}

}  // namespace switchyard::products
