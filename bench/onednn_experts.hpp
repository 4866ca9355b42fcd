// The products of experts by oneDNN, in the forms among which bench_onednn looks for the fastest.
#pragma once
#include <dnnl.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "tensor/types.hpp"

namespace switchyard::bench {

/// Y(rows, n) = X(rows, k) · W(n, k)ᵀ, the rows spread evenly over the experts.
struct Shape {
  const char* model;
  int experts;
  Index rows, n, k;
};

enum class Kind { matmul, inner_product, convolution };

/// How oneDNN is asked. The convolution, 1x1 over the rows, is what has kernels for packed weights on AVX2 in 2.6.
struct Form {
  Kind kind;
  bool stored;      ///< weights in the trainer's order, else in the one oneDNN prefers
  bool apart;       ///< each thread takes experts of its own, else all threads share each product
  bool beforehand;  ///< weights are packed before the time begins
};

struct Operands {
  const float *x, *w;
  float* y;
};

struct Description {
  dnnl::primitive_desc product;
  dnnl::memory::desc stored;  ///< the weights as the trainer has them
};

/// The products of all experts in one form of oneDNN; all arguments are made beforehand.
class Experts {
 public:
  Experts(const Form& form, const Shape& s, const Operands& o);
  void multiply() const;
  const std::string& name() const { return name_; }

 private:
  void make(const Form& form, const Shape& s);
  void add(const Shape& s, const Operands& o, Index expert, const dnnl::memory& here, const dnnl::memory& scratch);
  void multiply_of(Index slot) const;

  Description description_;
  dnnl::primitive product_, reorder_;
  bool packs_, beforehand_;
  std::string name_;
  std::vector<dnnl::stream> streams_;  ///< one a slot: a thread, or all of them together
  std::vector<std::unordered_map<int, dnnl::memory>> pack_, multiply_;
};

}  // namespace switchyard::bench
