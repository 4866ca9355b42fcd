// The enumerations among the options, whose enumerators are the names that a configuration has for them.
#pragma once
#include <string>
#include <vector>

namespace switchyard {

/// Names of the enumerators, in order, as written in a configuration.
template <class E>
struct EnumNames;

/// The parts of "a, b, c"; of "auto_" the word, which no enumerator can be.
inline std::vector<std::string> names_in(const std::string& list) {
  std::vector<std::string> names(1);
  for (const char c : list)
    if (c == ',')
      names.emplace_back();
    else if (c != ' ')
      names.back() += c;
  for (std::string& name : names)
    if (name.ends_with('_')) name.pop_back();
  return names;
}

/// An enumeration whose enumerators are the names that a configuration has for them, with _ after a word of C++.
#define SWITCHYARD_ENUM(Type, ...)                                               \
  enum class Type { __VA_ARGS__ };                                               \
  template <>                                                                    \
  struct EnumNames<Type> {                                                       \
    static inline const std::vector<std::string> names = names_in(#__VA_ARGS__); \
  }
SWITCHYARD_ENUM(Activation, gelu, relu, swiglu);
SWITCHYARD_ENUM(AttentionKind, grouped, latent);
SWITCHYARD_ENUM(QueryKeyNorm, none, head, all);
SWITCHYARD_ENUM(RouterKind, softmax, sigmoid, noisy_topk, hash);
SWITCHYARD_ENUM(Normalise, auto_, before, after, none);
SWITCHYARD_ENUM(GroupScore, top2_sum, share_sum, max);
SWITCHYARD_ENUM(AuxScope, sequence, grain, batch);
SWITCHYARD_ENUM(BiasRule, none, sign, centred_sign, proportional, quantile);
SWITCHYARD_ENUM(BiasUnit, absolute, spread);
SWITCHYARD_ENUM(BiasSchedule, constant, inverse);
SWITCHYARD_ENUM(ImportanceForm, cv2, squared_deviation);
SWITCHYARD_ENUM(DropOrder, weight, position);
SWITCHYARD_ENUM(ExchangeKind, pairwise, alltoallv, node, gather);
SWITCHYARD_ENUM(TransportChoice, auto_, mpi, window);
SWITCHYARD_ENUM(ScheduleKind, serial, pipelined, interleaved);
SWITCHYARD_ENUM(Recompute, none, experts, blocks);
SWITCHYARD_ENUM(Schedule, constant, cosine, linear, wsd);
SWITCHYARD_ENUM(Determinism, layout, run);
SWITCHYARD_ENUM(Precision, fp32, bf16);
SWITCHYARD_ENUM(GraphChoice, auto_, on, off);
#undef SWITCHYARD_ENUM

/// What a tensor is to a token that passes: read by a product (router, with the gate of shared experts, and shared
/// experts included) or added beside one (biases), looked up, scaled by. Options name them by what a model has of them.
enum class Role { embedding, norm, attention, router, feed_forward, shared_expert, expert, head };
template <>
struct EnumNames<Role> {
  static inline const std::vector<std::string> names =
      names_in("embedding, norms, attention, router, feed_forward, shared_experts, experts, head");
};

}  // namespace switchyard
