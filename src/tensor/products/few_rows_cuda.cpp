// Which thread blocks sum the weight gradients of few rows of bf16 a grain.
#include "tensor/products/few_rows_cuda.hpp"

#include <cstdint>

namespace switchyard::products {

bool few_rows_take(const Grouped& p, const NodeOfNetworks& node, int networks) {
  constexpr int most_leaves = 8, most_networks = 65535;
  const auto lines = [](const void* at, Index stride, int of) {
    return reinterpret_cast<std::uintptr_t>(at) % 16 == 0 && stride % of == 0;
  };
  return p.of.alike(Element::bf16) && node.size <= most_leaves && networks <= most_networks && p.m % 8 == 0 &&
         p.n % 8 == 0 && lines(p.a.data, p.a.stride, 8) && lines(p.b.data, p.b.stride, 8) &&
         lines(node.to, node.next, 4);
}

void sum_few_rows(cudaStream_t stream, const Grouped& p, const NodeOfNetworks& node, int networks) {
  switch (node.size) {
    case 1:
      return few::launch<few::Shape<1, 6>>(stream, p, node, networks);
    case 2:
      return few::launch<few::Shape<2, 5>>(stream, p, node, networks);
    case 4:
      return few::launch<few::Shape<4, 4>>(stream, p, node, networks);
    default:
      return few::launch<few::Shape<8, 3>>(stream, p, node, networks);
  }
}

}  // namespace switchyard::products
