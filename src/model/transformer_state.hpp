// What a transformer has: its rooms, and the lanes of a rank. Private to the files of model/transformer.hpp.
#pragma once
#include <memory>
#include <optional>
#include <vector>

#include "model/lane.hpp"
#include "model/transformer.hpp"

namespace switchyard::model {

struct Transformer::State {
  explicit State(const moe::LayerContext& layer_context);
  void start_lanes();
  Lane& lane(int number) const { return **lanes[number]; }
  std::vector<moe::LayerPass*> passes(std::size_t block) const;
  void forward(const Queue& queue, const schedule::Task& task);
  void recompute(const Queue& queue, const schedule::Task& task);
  void backward(const Queue& queue, const schedule::Task& task);
  void index_tokens(const Queue& queue, Lane& l) const;
  int first_non_finite_expert(const Queue& queue, int block);
  moe::LayerContext context;
  Embedding embedding;
  std::vector<Block> blocks;
  nn::Norm final_norm;
  Head head;
  std::unique_ptr<Placed<SharedRows>> shared;  // made at the first pass, as the lanes
  std::vector<std::unique_ptr<Placed<Lane>>> lanes;
  std::optional<moe::Pass> last;  // pass, or no pass so far
  bool asked = false;             // for the statistics of it
};

/// Values of all lanes of a rank, one after another.
template <class T, class F>
std::vector<T> joined(const std::vector<std::unique_ptr<Placed<Lane>>>& lanes, const F& of) {
  std::vector<T> all;
  for (const auto& lane : lanes) {
    const std::vector<T> part = of(**lane);
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

}  // namespace switchyard::model
