// The head: the products and the sums of losses; what happens inside a row stands in head_host.cpp and head_cuda.cpp.
#include "model/head.hpp"

namespace switchyard::model {
namespace {

Linear declare(ParameterSet& parameters, const ModelConfig& model, int tied_to) {
  if (tied_to >= 0) return Linear(parameters, tied_to);
  return Linear(parameters, "head.weight", model.vocabulary, model.width, model.init_std);
}

}  // namespace

Head::Head(ParameterSet& parameters, const Config& config, int tied_to)
    : weight_(declare(parameters, config.model, tied_to)) {
  rows_.token_weight = static_cast<float>(1.0 / static_cast<double>(config.step_tokens()));
  rows_.z_weight = static_cast<float>(config.model.z_loss / static_cast<double>(config.step_tokens()));
}

void Head::allocate(const Rows& rows) {
  rows_.logits = make_view<Matrix<float>>("model::head::logits", rows.count, weight_.out());
  rows_.targets = make_view<Vector<std::int32_t>>("model::head::targets", rows.count);
  rows_.loss = make_view<Vector<float>>("model::head::loss", rows.count);
  rows_.log_sum = make_view<Vector<float>>("model::head::log_sum", rows.count);
  rows_.predicted = make_view<Vector<std::int32_t>>("model::head::predicted", rows.count);
}

void Head::forward(const Rows& rows, const Matrix<float>& x, const std::vector<std::int32_t>& targets, moe::Pass pass) {
  x_ = x;
  if (rows.count == 0) return;
  Kokkos::deep_copy(rows_.targets, HostVector<const std::int32_t>(targets.data(), targets.size()));
  weight_.forward(rows, x, rows_.logits);
  head_losses(rows_, pass);
}

void Head::backward(const Rows& rows, const Matrix<float>& dx) const {
  weight_.weight_gradient(rows, rows_.logits, x_);
  weight_.input_gradient(rows, rows_.logits, dx);
}

std::vector<double> Head::grain_losses(const Rows& rows) const {
  const auto loss = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), rows_.loss);
  const auto log_sum = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), rows_.log_sum);
  std::vector<double> sums(2 * rows.grain_count(), 0.0);
  for (int g = 0; g < rows.grain_count(); ++g)
    for (Index i = rows.grains[g]; i < rows.grains[g + 1]; ++i) {
      sums[2 * g] += loss(i);
      sums[2 * g + 1] += static_cast<double>(log_sum(i)) * log_sum(i);
    }
  return sums;
}

}  // namespace switchyard::model
