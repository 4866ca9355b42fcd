// Products of rows by matrices, forward.
#include "tensor/products/experts_launch_cuda.hpp"
#include "tensor/products/experts_results_cuda.hpp"

namespace switchyard::products::experts {

namespace {

template <class T>
Targets<T> targets(const Linear& p) {
  Targets<T> to{};
  for (int i = 0; i < p.count; ++i)
    to.data[i] = static_cast<T*>(p.y[i].data), to.stride[i] = p.y[i].stride, to.columns[i] = p.columns[i];
  return to;
}

}  // namespace

void linear(const Call& call, const Linear& p) {
  expect(p.count >= 1 && p.count <= max_matrices, "one to three matrices");
  Operands o{1, p.count, nullptr, {p.x}, {p.stride}, {p.depth}, {}, {}};
  for (int i = 0; i < p.count; ++i) o.b[i] = p.w[i], o.columns[i] = p.columns[i];
  if (p.results.floats)
    launch<Weights::along>(call, o, Floats{targets<float>(p), p.results.add});
  else
    launch<Weights::along>(call, o, Halves{targets<__nv_bfloat16>(p), p.results.add});
}

void down(const Call& call, const Down& p) {
  linear(call, {p.hidden, call.hidden, call.hidden, 1, {p.down}, {call.width}, {{p.y, call.width}}, {}});
}

}  // namespace switchyard::products::experts
