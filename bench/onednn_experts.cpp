#include "onednn_experts.hpp"

#include <omp.h>

#include <algorithm>
#include <stdexcept>

namespace switchyard::bench {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

Description describe(const Form& form, memory::dim m, memory::dim n, memory::dim k) {
  const auto desc = [](const memory::dims& dims, Tag tag) { return memory::desc(dims, memory::data_type::f32, tag); };
  const auto weights = [&](const memory::desc& w) { return form.stored ? w : desc(w.dims(), Tag::any); };
  const auto training = dnnl::prop_kind::forward_training;
  dnnl::primitive_attr attributes;  // scratch memory is ours: one primitive serves several threads
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const memory::desc x = desc({m, k}, Tag::ab), y = desc({m, n}, Tag::ab);
  if (form.kind == Kind::matmul) {
    const memory::desc w = desc({k, n}, Tag::ba);
    return {dnnl::matmul::primitive_desc({x, weights(w), y}, attributes, cpu()), w};
  }
  if (form.kind == Kind::inner_product) {
    const memory::desc w = desc({n, k}, Tag::ab);
    return {dnnl::inner_product_forward::primitive_desc({training, x, weights(w), y}, attributes, cpu()), w};
  }
  using Convolution = dnnl::convolution_forward;
  const memory::desc w = desc({n, k, 1, 1}, Tag::oihw);
  const Convolution::desc rows(training, dnnl::algorithm::convolution_direct, desc({1, k, m, 1}, Tag::nhwc), weights(w),
                               desc({1, n, m, 1}, Tag::nhwc), {1, 1}, {0, 0}, {0, 0});
  return {Convolution::primitive_desc(rows, attributes, cpu()), w};
}

}  // namespace

Experts::Experts(const Form& form, const Shape& s, const Operands& o) : beforehand_(form.beforehand) {
  omp_set_num_threads(form.apart ? 1 : Device().concurrency());
  make(form, s);
  omp_set_num_threads(Device().concurrency());
  const Index slots = form.apart ? Device().concurrency() : 1;
  for (Index slot = 0; slot < slots; ++slot) {
    streams_.emplace_back(cpu());
    const memory here(description_.product.weights_desc(0), cpu());  // stays in a cache from expert to expert
    const memory scratch(description_.product.query_md(dnnl::query::scratchpad_md), cpu());
    for (Index e = s.experts * slot / slots; e < s.experts * (slot + 1) / slots; ++e) add(s, o, e, here, scratch);
  }
}

void Experts::make(const Form& form, const Shape& s) {
  description_ = describe(form, s.rows / s.experts, s.n, s.k);
  const dnnl::primitive_desc& product = description_.product;
  const dnnl::reorder::primitive_desc reorder(cpu(), description_.stored, cpu(), product.weights_desc(0));
  product_ = dnnl::primitive(product);
  reorder_ = dnnl::reorder(reorder);
  packs_ = product.weights_desc(0) != description_.stored;
  static const char* const kinds[] = {"matmul", "inner product", "convolution"};
  name_ = std::string(kinds[static_cast<int>(form.kind)]) + " " + product.impl_info_str();
  if (name_.find("ref") != std::string::npos) throw std::runtime_error("oneDNN took a reference kernel: " + name_);
  name_ += packs_ ? std::string(", weights by ") + reorder.impl_info_str() : ", weights as stored";
  if (form.apart) name_ += ", experts apart";
}

void Experts::add(const Shape& s, const Operands& o, Index expert, const memory& here, const memory& scratch) {
  const auto at = [](const float* p, Index i) { return const_cast<float*>(p + i); };
  const Index rows = s.rows / s.experts;
  const dnnl::primitive_desc& d = description_.product;
  const memory x(d.src_desc(0), cpu(), at(o.x, expert * rows * s.k));
  const memory y(d.dst_desc(0), cpu(), o.y + expert * rows * s.n);
  const memory w(description_.stored, cpu(), at(o.w, expert * s.n * s.k));
  const memory packed = !packs_ ? w : beforehand_ ? memory(d.weights_desc(0), cpu()) : here;
  pack_.push_back({{DNNL_ARG_FROM, w}, {DNNL_ARG_TO, packed}});
  multiply_.push_back(
      {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, packed}, {DNNL_ARG_DST, y}, {DNNL_ARG_SCRATCHPAD, scratch}});
  if (packs_ && beforehand_) reorder_.execute(streams_.back(), pack_.back());
}

void Experts::multiply_of(Index slot) const {
  const Index slots = std::ssize(streams_), experts = std::ssize(multiply_);
  for (Index e = experts * slot / slots; e < experts * (slot + 1) / slots; ++e) {
    if (packs_ && !beforehand_) reorder_.execute(streams_[slot], pack_[e]);
    product_.execute(streams_[slot], multiply_[e]);
  }
}

void Experts::multiply() const {
  const Index slots = std::ssize(streams_);
  if (slots == 1) return multiply_of(0);
  Kokkos::parallel_for("bench::experts", Kokkos::RangePolicy<Device>(0, slots), [this](Index s) { multiply_of(s); });
}

}  // namespace switchyard::bench
