// RMSNorm: what parameters it works with; the rows are worked in norm_host.cpp and norm_cuda.cpp.
#include "nn/norm.hpp"

#include "nn/norm_rows.hpp"

namespace switchyard::nn {

Norm::Norm(const ParameterSet& parameters, const std::string& name, double epsilon)
    : parameters_(&parameters), id_(parameters.id(name)), epsilon_(static_cast<float>(epsilon)) {}

void Norm::forward(const Queue& queue, const Tensor& x, const Tensor& y, NormPass& pass, const Tensor& copy) const {
  pass.x = x;
  if (x.rows == 0) return;
  normalise(queue, {x, parameters_->value(id_), epsilon_, y, copy, pass.scale.data()});
}

void Norm::backward(const Queue& queue, const Rows& rows, const Tensor& dy, const StreamGradient& d,
                    const NormPass& pass, const NormPartials& partials) const {
  if (rows.count == 0) return;
  queue.reclaim(d.lent);
  queue.reclaim(partials.lent);
  denormalise(queue, rows, {pass.x, parameters_->value(id_), pass.scale.data(), dy, d, partials.rows});
  const Index stride = parameters_->gradient_stride(id_);
  queue.beside({&partials.lent}, [&](const Queue& other) {
    sum_partials(other, rows, partials.rows, {parameters_->gradient(id_) + rows.sums.slot * stride, stride});
    parameters_->take_steps(other, id_, rows.sums.steps);
  });
}

}  // namespace switchyard::nn
