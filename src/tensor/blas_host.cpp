// Matrix products on the CPU: plain chains, parallel over rows.
#include <Kokkos_Core.hpp>
#include <algorithm>
#include <cmath>

#include "tensor/blas.hpp"
#include "tensor/types.hpp"

namespace switchyard::blas {
namespace {

void finish(float* out, Index n, const float* chain, Write write) {
  for (Index i = 0; i < n; ++i) out[i] = write == Write::add ? out[i] + chain[i] : chain[i];
}

Index group_of(const Groups& groups, Index row) {
  return std::upper_bound(groups.offsets, groups.offsets + groups.count + 1, row) - groups.offsets - 1;
}

void grain_chain(const Index* rows, Index n, Index k, Index out, const float* dy, const float* x, float* sum) {
  std::fill(sum, sum + k, 0.0f);
  for (Index row = rows[0]; row < rows[1]; ++row)
    for (Index i = 0; i < k; ++i) sum[i] = std::fma(dy[row * n + out], x[row * k + i], sum[i]);
}

}  // namespace

void forward(const Groups& groups, Index n, Index k, const float* x, const float* w, float* y, Write write) {
  const Index first = groups.offsets[0], last = groups.offsets[groups.count];
  Kokkos::parallel_for("switchyard::blas::forward", Kokkos::RangePolicy<Device>(first, last), [=](Index row) {
    const float* weights = w + group_of(groups, row) * n * k;
    for (Index j = 0; j < n; ++j) {
      float sum = 0.0f;
      for (Index i = 0; i < k; ++i) sum = std::fma(x[row * k + i], weights[j * k + i], sum);
      finish(y + row * n + j, 1, &sum, write);
    }
  });
}

void input_gradient(const Groups& groups, Index n, Index k, const float* dy, const float* w, float* dx, Write write) {
  const Index first = groups.offsets[0], last = groups.offsets[groups.count];
  Kokkos::parallel_for("switchyard::blas::input_gradient", Kokkos::RangePolicy<Device>(first, last), [=](Index row) {
    const float* weights = w + group_of(groups, row) * n * k;
    std::vector<float> sum(k, 0.0f);
    for (Index j = 0; j < n; ++j)
      for (Index i = 0; i < k; ++i) sum[i] = std::fma(dy[row * n + j], weights[j * k + i], sum[i]);
    finish(dx + row * k, k, sum.data(), write);
  });
}

void weight_gradient(const GrainGroups& groups, Index n, Index k, const float* dy, const float* x, float* dw,
                     Index node_stride) {
  const int grains = groups.grains;
  const Index* offsets = groups.offsets;
  const auto& nodes = *groups.nodes;
  Kokkos::parallel_for("switchyard::blas::weight_gradient", Kokkos::RangePolicy<Device>(0, groups.count * n),
                       [&](Index r) {
                         std::vector<float> partial;
                         for (std::size_t t = 0; t < nodes.size(); ++t) {
                           std::vector<TreeNode> leaves;
                           for (int g = 0; g < nodes[t].size; ++g) leaves.push_back({nodes[t].first + g, 1});
                           partial.resize(nodes[t].size * k);
                           for (int g = 0; g < nodes[t].size; ++g)
                             grain_chain(offsets + r / n * grains + leaves[g].first - nodes[0].first, n, k, r % n, dy,
                                         x, &partial[g * k]);
                           for (const auto& [into, from] : tree_additions(leaves))
                             for (Index i = 0; i < k; ++i) partial[into * k + i] += partial[from * k + i];
                           std::copy(partial.begin(), partial.begin() + k, dw + t * node_stride + r * k);
                         }
                       });
}

const char* description() { return "plain"; }

}  // namespace switchyard::blas
