// Products of rows by matrices: gradients of the rows.
#include "tensor/products/experts_launch_cuda.hpp"
#include "tensor/products/experts_results_cuda.hpp"

namespace switchyard::products::experts {

namespace {

template <class T>
Targets<T> targets(const LinearGradient& p) {
  return {{static_cast<T*>(p.dx.data)}, {p.dx.stride}, {p.columns}};
}

}  // namespace

void linear_gradient(const Call& call, const LinearGradient& p) {
  expect(p.count >= 1 && p.count <= max_matrices, "one to three matrices");
  Operands o{p.count, 1, nullptr, {}, {}, {}, {}, {p.columns}};
  for (int i = 0; i < p.count; ++i)
    o.a[i] = p.dy[i], o.a_stride[i] = p.stride[i], o.depth[i] = p.depth[i], o.b[i] = p.w[i];
  if (p.results.floats)
    launch<Weights::across>(call, o, Floats{targets<float>(p), p.results.add});
  else
    launch<Weights::across>(call, o, Halves{targets<__nv_bfloat16>(p), p.results.add});
}

void input_gradient(const Call& call, const InputGradient& p) {
  const int f = call.hidden, count = p.d_gate ? 2 : 1;
  linear_gradient(call,
                  {call.width, count, {p.d_up, p.d_gate}, {f, f}, {f, f}, {p.up, p.gate}, {p.dx, call.width}, {}});
}

}  // namespace switchyard::products::experts
